package portbinding

import (
	"fmt"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// attachment is one switch port that a binding asks for, and what the port must be. It is a function of the binding and the
// operator's inventory alone: no switch was asked.
type attachment struct {
	at    switchPort
	want  switchdrivers.Port
	vlans []HeldVLAN
}

// switchPort names one port of one switch.
type switchPort struct{ sw, port string }

func (p switchPort) String() string { return p.sw + "/" + p.port }

// refusal says why a binding cannot be done as asked.
type refusal struct {
	reason  Reason
	message string
	at      switchPort // which link, where it is one
}

func refuse(reason Reason, format string, args ...any) *refusal {
	return &refusal{reason: reason, message: fmt.Sprintf(format, args...)}
}

// resolve turns a present binding into the switch ports it asks for, or refuses it. Links are one unit: one bad link refuses
// the binding, so that a server is never half on a network.
func resolve(b Binding, inv *switchdrivers.Inventory) ([]attachment, *refusal) {
	if b.VNICType != VNICBaremetal {
		return nil, refuse(ReasonUnsupported, "VNIC type %s: only ports of type %s hang on switch ports", switchdrivers.Quote(b.VNICType), VNICBaremetal)
	}
	if len(b.Profile.Links) == 0 {
		return nil, refuse(ReasonInvalidEvent, "binding_profile.local_link_information names no switch port")
	}
	var out []attachment
	seen := map[switchPort]bool{}
	for i, link := range b.Profile.Links {
		name, no := findSwitch(link, inv)
		if no != nil {
			if len(b.Profile.Links) > 1 {
				no.message = fmt.Sprintf("link %d of %d: %s", i+1, len(b.Profile.Links), no.message)
			}
			no.at = switchPort{switchdrivers.Quote(link.SwitchInfo + link.SwitchID), switchdrivers.Quote(link.PortID)}
			return nil, no
		}
		sw, platform := inv.Switch(name), inv.Platform(name)
		port, err := platform.PortName(link.PortID)
		if err != nil {
			return nil, &refusal{ReasonUnknownPort, fmt.Sprintf("link %d, switch %s: %v", i+1, name, err), switchPort{name, switchdrivers.Quote(link.PortID)}}
		}
		at := switchPort{name, port}
		if no := mayBind(sw, port); no != nil {
			no.at = at
			return nil, no
		}
		want, vlans, no := desiredPort(b, sw, platform.Traits())
		if no == nil {
			no = notParking(vlans, inv)
		}
		if no != nil {
			no.at = at
			return nil, no
		}
		if !seen[at] {
			seen[at] = true
			out = append(out, attachment{at, want, vlans})
		}
	}
	return out, nil
}

// notParking refuses the VLANs in which idle ports are parked: they are enabled, and whoever hangs there is nobody's tenant.
func notParking(vlans []HeldVLAN, inv *switchdrivers.Inventory) *refusal {
	for _, v := range vlans {
		if inv.Parking(v.PhysicalNetwork).Contains(v.VLAN) {
			return refuse(ReasonVLANNotAllowed, "VLAN %d is where idle ports of %s are parked (idle.vlan)", v.VLAN, v.PhysicalNetwork)
		}
	}
	return nil
}

// findSwitch names the switch of a link. A MAC that is not the named switch's is never papered over with the name: a node that
// was cabled anew would be configured on the wrong switch.
func findSwitch(link LocalLink, inv *switchdrivers.Inventory) (string, *refusal) {
	var byMAC, byName string
	var mac switchdrivers.MAC
	if link.SwitchID != "" {
		var err error
		if mac, err = switchdrivers.ParseMAC(link.SwitchID); err != nil {
			return "", refuse(ReasonUnknownSwitch, "switch_id: %v", err)
		}
		byMAC, _ = inv.ByMAC(mac)
	}
	if inv.Switch(link.SwitchInfo) != nil {
		byName = link.SwitchInfo
	}
	switch {
	case byMAC != "" && byName != "" && byMAC != byName:
		return "", refuse(ReasonSwitchMismatch, "switch_id %s is %s, but switch_info says %s", mac, byMAC, byName)
	case byMAC != "":
		return byMAC, nil
	case byName == "":
		return "", refuse(ReasonUnknownSwitch, "no switch with %s is configured", saidOf(link))
	case mac != "" && len(inv.Switch(byName).SwitchIDs) > 0:
		return "", refuse(ReasonSwitchMismatch, "switch_id %s is not among those of %s, which switch_info names", mac, byName)
	}
	return byName, nil
}

// saidOf repeats what a link says about its switch.
func saidOf(link LocalLink) string {
	id, info := "switch_id "+switchdrivers.Quote(link.SwitchID), "switch_info "+switchdrivers.Quote(link.SwitchInfo)
	switch {
	case link.SwitchID == "":
		return info
	case link.SwitchInfo == "":
		return id
	}
	return id + " or " + info
}

// mayBind applies the operator's word on which ports may be bound at all.
func mayBind(sw *switchdrivers.Switch, port string) *refusal {
	switch {
	case sw.Uplinks.Contains(port):
		return refuse(ReasonPortProtected, "%s/%s is an uplink", sw.Name, port)
	case sw.ProtectedPorts.Contains(port):
		return refuse(ReasonPortProtected, "%s/%s is in protected_ports", sw.Name, port)
	case len(sw.AllowedPorts) > 0 && !sw.AllowedPorts.Contains(port):
		return refuse(ReasonPortNotAllowed, "%s/%s is not in allowed_ports", sw.Name, port)
	}
	return nil
}

// desiredPort is what a port of this switch must be for the binding.
func desiredPort(b Binding, sw *switchdrivers.Switch, traits switchdrivers.Traits) (switchdrivers.Port, []HeldVLAN, *refusal) {
	own, no := bottomVLAN(b.Segments, b.Network, sw, traits)
	if no != nil {
		return switchdrivers.Port{}, nil, no
	}
	vlans := []HeldVLAN{own}
	want := switchdrivers.Access(own.VLAN)
	if b.Trunk != nil && len(b.Trunk.SubPorts) > 0 {
		var tagged switchdrivers.VLANSet
		for _, sub := range b.Trunk.SubPorts {
			held, no := bottomVLAN(sub.Segments, sub.Network, sw, traits)
			switch {
			case no != nil:
				no.message = fmt.Sprintf("subport %s: %s", switchdrivers.Quote(sub.PortID), no.message)
				return switchdrivers.Port{}, nil, no
			case sub.SegmentationID != int(held.VLAN):
				return switchdrivers.Port{}, nil, refuse(ReasonSubPortTag,
					"subport %s asks for tag %d, but its network is VLAN %d: on the wire the tag would be another network's",
					switchdrivers.Quote(sub.PortID), sub.SegmentationID, held.VLAN)
			case held.VLAN == own.VLAN || tagged.Contains(held.VLAN):
				return switchdrivers.Port{}, nil, refuse(ReasonSubPortTag, "VLAN %d is asked for twice on one port", held.VLAN)
			}
			tagged = tagged.With(held.VLAN)
			vlans = append(vlans, held)
		}
		want = switchdrivers.Trunk(own.VLAN, tagged)
	}
	if !b.AdminUp() {
		// A port that is administratively down carries nothing, so it needs none of its VLANs; its claim stays.
		want, vlans = switchdrivers.Idle(), nil
	}
	if sw.Descriptions && traits.Descriptions {
		want.Description = describe(b)
	}
	return want, vlans, nil
}

// bottomVLAN is the VLAN of the lowest binding level, checked against what the switch may carry.
func bottomVLAN(segments []Segment, network Network, sw *switchdrivers.Switch, traits switchdrivers.Traits) (HeldVLAN, *refusal) {
	if len(segments) == 0 {
		return HeldVLAN{}, refuse(ReasonInvalidEvent, "the binding has no segment")
	}
	seg := segments[len(segments)-1]
	switch {
	case len(segments) > 1:
		return HeldVLAN{}, refuse(ReasonUnsupported, "%s over %s: mapping a VNI to a VLAN is not supported", switchdrivers.Quote(segments[0].NetworkType),
			switchdrivers.Quote(seg.NetworkType))
	case seg.NetworkType != "vlan":
		return HeldVLAN{}, refuse(ReasonUnsupported, "segments of type %s are not supported, only vlan", switchdrivers.Quote(seg.NetworkType))
	}
	vlan, err := switchdrivers.NewVLANID(seg.SegmentationID)
	if err != nil {
		return HeldVLAN{}, refuse(ReasonInvalidEvent, "segment: %v", err)
	}
	known := false
	for _, p := range sw.PhysicalNetworks {
		known = known || p == seg.PhysicalNetwork
	}
	switch {
	case !known:
		return HeldVLAN{}, refuse(ReasonPhysicalNetwork, "switch %s carries %s, not %s", sw.Name, strings.Join(sw.PhysicalNetworks, ", "),
			switchdrivers.Quote(seg.PhysicalNetwork))
	case traits.ReservedVLANs.Contains(vlan):
		return HeldVLAN{}, refuse(ReasonVLANNotAllowed, "VLAN %d is reserved on %s", vlan, sw.Name)
	case vlan == 1 && !sw.AllowedVLANs.Contains(1):
		return HeldVLAN{}, refuse(ReasonVLANNotAllowed, "VLAN 1 is what every port that nobody configured is in: it is a network's only where "+
			"allowed_vlans of %s lists it", sw.Name)
	case !sw.AllowedVLANs.IsEmpty() && !sw.AllowedVLANs.Contains(vlan):
		return HeldVLAN{}, refuse(ReasonVLANNotAllowed, "VLAN %d is not in the allowed_vlans of %s (%s)", vlan, sw.Name, sw.AllowedVLANs)
	}
	return HeldVLAN{VLAN: vlan, PhysicalNetwork: seg.PhysicalNetwork, NetworkID: network.ID}, nil
}

// describePrefix marks the descriptions that are ours to change and to remove.
const describePrefix = "switchbind "

// describe is the description of a bound port. Network names are tenants' free text, so only characters that no CLI gives a
// meaning to are kept.
func describe(b Binding) string {
	network := b.Network.Name
	if network == "" {
		network = b.Network.ID
	}
	return strings.TrimSpace(describePrefix + plain(b.PortID, 36) + " " + plain(network, 20))
}

// vlanName is the name that a VLAN is created with: the operator's format, in characters and a length that every NOS takes.
func vlanName(format string, held HeldVLAN, networkName string, most int) string {
	if most <= 0 {
		return ""
	}
	return plain(strings.NewReplacer("{network_id}", held.NetworkID, "{network_name}", networkName, "{vlan}", held.VLAN.String()).Replace(format), most)
}

// plain keeps the letters, digits, dots, dashes and underscores of a text, at most so many.
func plain(text string, most int) string {
	out := make([]byte, 0, min(len(text), most))
	for i := 0; i < len(text) && len(out) < most; i++ {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' {
			out = append(out, c)
		}
	}
	return string(out)
}
