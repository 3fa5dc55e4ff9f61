package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchbind/switchbind/portbinding"
)

// places names the switch ports of a binding: "leaf1/Ethernet1, leaf2/Ethernet1".
func places(links []portbinding.LinkResult) string {
	var names []string
	for _, l := range links {
		names = append(names, l.Switch+"/"+l.Port)
	}
	return strings.Join(names, ", ")
}

// firstPlace names the first switch port of a binding and counts the others, "leaf1/Ethernet1 +1": a table has to fit a terminal.
func firstPlace(links []portbinding.LinkResult) string {
	switch len(links) {
	case 0, 1:
		return places(links)
	}
	return fmt.Sprintf("%s +%d", places(links[:1]), len(links)-1)
}

// heldWords describes what a switch port may still carry: "leaf1/Ethernet1: VLAN 110 of physnet1 (network d6b9ffd7-...)".
func heldWords(h portbinding.Hold) string {
	var vlans []string
	for _, v := range h.VLANs {
		text := "VLAN " + v.VLAN.String()
		if v.PhysicalNetwork != "" {
			text += " of " + v.PhysicalNetwork
		}
		if v.NetworkID != "" {
			text += " (network " + v.NetworkID + ")"
		}
		vlans = append(vlans, text)
	}
	if len(vlans) == 0 {
		vlans = []string{"unknown VLANs"}
	}
	return h.Switch + "/" + h.Port + ": " + strings.Join(vlans, ", ")
}

// why joins reason and message.
func why(reason portbinding.Reason, message string) string {
	switch {
	case reason == portbinding.ReasonNone:
		return message
	case message == "":
		return string(reason)
	}
	return string(reason) + ": " + message
}

// observed describes what was read back of a switch port.
func observed(l portbinding.LinkResult) string {
	if l.Observed == nil {
		return ""
	}
	return l.Observed.String()
}

func vlanWords(vlan int) string {
	if vlan == 0 {
		return "-"
	}
	return fmt.Sprint(vlan)
}

func networkWords(n portbinding.Network) string {
	if n.Name != "" {
		return n.Name
	}
	return n.ID
}

// ago tells a time as a person would.
func ago(t *time.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return "never"
	}
	switch d := now.Sub(*t); {
	case d < 0:
		return "in " + roughly(-d)
	case d < time.Second:
		return "now"
	default:
		return roughly(d) + " ago"
	}
}

func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if strings.HasSuffix(one, "ch") {
		one += "e"
	}
	return fmt.Sprintf("%d %ss", n, one)
}
