package switchdrivers

import (
	"cmp"
	"maps"
	"slices"
)

// Change is the ordered difference between what a switch is and what it should be: the only thing that is ever written to
// one. It carries both ends, so a driver can render it without a switch, and so that "plan" and the real write are one path.
//
// A driver writes the parts in this order: VLANs that are created or renamed (a port must not join a VLAN that does not
// exist: the switch would accept it and leave the port inactive), then ports, then VLANs that are deleted.
type Change struct {
	VLANs  []VLANChange // creations and renames, by VLAN
	Ports  []PortChange // by port name
	Delete []VLANChange // by VLAN
}

// VLANChange creates (From nil), renames, or deletes (To nil) one VLAN.
type VLANChange struct {
	ID     VLANID `json:"id"`
	From   *VLAN  `json:"from,omitempty"`
	To     *VLAN  `json:"to,omitempty"`
	Reason string `json:"reason,omitempty"` // for the person who reads the plan
}

// PortChange moves one port from what was read to what it must be. To is complete: a driver writes the port's whole VLAN set
// and leaves nothing of From behind.
type PortChange struct {
	Name   string `json:"name"`
	From   Port   `json:"from"`
	To     Port   `json:"to"`
	Reason string `json:"reason,omitempty"` // for the person who reads the plan
}

// IsEmpty reports whether there is nothing to write.
func (c Change) IsEmpty() bool { return len(c.VLANs) == 0 && len(c.Ports) == 0 && len(c.Delete) == 0 }

// Diff returns the change that leads from one state to another. A port that only one side names is not part of it: a state is
// silent about ports it does not name. A VLAN that is in from but not in to is deleted.
func Diff(from, to State) Change {
	var c Change
	for _, id := range slices.Sorted(maps.Keys(to.VLANs)) {
		want := to.VLANs[id]
		have, exists := from.VLANs[id]
		switch {
		case !exists:
			c.VLANs = append(c.VLANs, VLANChange{ID: id, To: &VLAN{Name: want.Name}})
		case want.Name != "" && want.Name != have.Name:
			c.VLANs = append(c.VLANs, VLANChange{ID: id, From: &have, To: &VLAN{Name: want.Name}})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(to.Ports)) {
		want := to.Ports[name]
		have, exists := from.Ports[name]
		if exists && !want.Equal(have) {
			c.Ports = append(c.Ports, PortChange{Name: name, From: have, To: want})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(from.VLANs)) {
		if _, wanted := to.VLANs[id]; !wanted {
			have := from.VLANs[id]
			c.Delete = append(c.Delete, VLANChange{ID: id, From: &have})
		}
	}
	slices.SortStableFunc(c.Ports, func(a, b PortChange) int { return cmp.Compare(a.Name, b.Name) })
	return c
}

// Without returns the change less the named ports. VLANs that are created stay: an unused VLAN harms nobody, and the ports may
// come back.
func (c Change) Without(ports map[string]bool) Change {
	c.Ports = slices.DeleteFunc(slices.Clone(c.Ports), func(p PortChange) bool { return ports[p.Name] })
	return c
}

// Line is one line of a [Script]: what is sent, and for which port or VLAN.
type Line struct {
	Text string `json:"text"`           // a CLI line, or a whole request in its JSON form
	Port string `json:"port,omitempty"` // the port the line is for, where it is for one
	Why  string `json:"why,omitempty"`  // the reason, on the first line of a port or VLAN
}

// Script is a change in the tongue of one switch, exactly as it is sent, in order.
type Script []Line
