package portbinding

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// plan is what follows when a goal meets what a switch says it is.
type plan struct {
	change  switchdrivers.Change
	blocked map[string]*refusal // ports that cannot be brought to their goal, and why; not part of the change
	drift   []PortDrift         // ports that were verified and are not what they were
}

// aside is what the worker knows about ports that the switch refused to change: for those the plan falls back to the idle state,
// so that a port is never left in the VLAN of its former tenant because it could not be put into that of the next; and where that
// was refused as well, it waits.
type aside map[string]trouble

// planFor compares the goal with the actual state and returns the change, without regard to what it takes to send it. It is
// pure: "plan" on the command line and the worker call it alike.
func planFor(g *goal, actual switchdrivers.State, refused aside) plan {
	p := plan{blocked: map[string]*refusal{}}
	from := switchdrivers.State{VLANs: map[switchdrivers.VLANID]switchdrivers.VLAN{}, Ports: map[string]switchdrivers.Port{}}
	to := from.Clone()
	reasons := map[string]string{}
	var needed []HeldVLAN
	names := map[switchdrivers.VLANID]string{}
	for _, name := range slices.Sorted(maps.Keys(g.ports)) {
		pg := g.ports[name]
		have, exists := actual.Ports[name]
		want := g.effectiveWant(pg, have, refused)
		for _, v := range pg.vlans {
			names[v.VLAN] = vlanName(g.sw.VLANNameFormat, v, pg.network, g.traits.VLANNameLength)
		}
		if no := g.obstacle(pg, have, exists, actual); no != nil {
			p.blocked[name] = no
			continue
		}
		if no, ok := refused[name]; ok && no.stuck && no.want.SameForwarding(pg.want) {
			continue
		}
		settled := pg.settled()
		if settled && !have.SameForwarding(want) {
			p.drift = append(p.drift, PortDrift{Port: name, PortID: pg.owner.PortID, Desired: want, Actual: have})
			if g.sw.Drift == "report" {
				continue
			}
		}
		if have.Equal(want) || (settled && have.SameForwarding(want)) {
			// A description that somebody changed on a verified port is theirs: no reason to touch the switch.
			if pg.owner != nil {
				needed = append(needed, pg.vlans...)
			}
			continue
		}
		from.Ports[name], to.Ports[name] = have, want
		reasons[name] = pg.because
		if pg.owner != nil && want.VLANs().Equal(pg.want.VLANs()) {
			needed = append(needed, pg.vlans...)
		}
	}
	vlanReasons := g.planVLANs(&from, &to, actual, needed, names)
	p.change = switchdrivers.Diff(from, to)
	for i, c := range p.change.Ports {
		p.change.Ports[i].Reason = reasons[c.Name]
	}
	for _, list := range [][]switchdrivers.VLANChange{p.change.VLANs, p.change.Delete} {
		for i, c := range list {
			list[i].Reason = vlanReasons[c.ID]
		}
	}
	return p
}

// settled reports whether the port's owner was verified here and nothing else is wanted since: what differs now is drift.
func (pg *portGoal) settled() bool {
	return pg.owner != nil && pg.owner.Settled
}

// effectiveWant is the goal's port with what it leaves to the switch as it is, or the idle state where the wish was refused.
func (g *goal) effectiveWant(pg *portGoal, have switchdrivers.Port, refused aside) switchdrivers.Port {
	want := pg.want
	if no, ok := refused[pg.port]; ok && no.want.SameForwarding(want) {
		want = g.sw.Idle.Port()
	}
	if want.Description == "" && !strings.HasPrefix(have.Description, describePrefix) {
		want.Description = have.Description // an operator's own text
	}
	if !g.traits.Descriptions {
		want.Description = have.Description
	}
	return want
}

// obstacle says why a port cannot be brought to its goal, from what the switch says.
func (g *goal) obstacle(pg *portGoal, have switchdrivers.Port, exists bool, actual switchdrivers.State) *refusal {
	at := switchPort{g.sw.Name, pg.port}
	switch {
	case g.sw.Uplinks.Contains(pg.port), g.sw.ProtectedPorts.Contains(pg.port):
		return &refusal{ReasonPortProtected, fmt.Sprintf("%s is an uplink or a protected port now: it is not touched, not even to undo a binding", at), at}
	case !exists:
		return &refusal{ReasonUnknownPort, fmt.Sprintf("switch %s has no port %s", g.sw.Name, pg.port), at}
	case have.Mode == switchdrivers.ModeRouted:
		return &refusal{ReasonUnsupported, fmt.Sprintf("%s is a routed port; make it a switch port first", at), at}
	case have.LAG != "":
		return &refusal{ReasonUnsupported, fmt.Sprintf("%s is a member of %s, which has the VLANs", at, have.LAG), at}
	}
	if pg.owner == nil {
		return g.unread
	}
	if !g.traits.HasVLANTable || g.sw.ManageVLANs {
		return nil
	}
	for _, v := range pg.vlans {
		if _, ok := actual.VLANs[v.VLAN]; !ok {
			return &refusal{ReasonVLANMissing, fmt.Sprintf("VLAN %d does not exist on %s and manage_vlans is off: create it there", v.VLAN, g.sw.Name), at}
		}
	}
	return nil
}

// planVLANs fills in the VLANs of both ends: those that ports need are created, those that were ours and that nobody here uses
// any more are deleted. It returns the reasons.
func (g *goal) planVLANs(from, to *switchdrivers.State, actual switchdrivers.State, needed []HeldVLAN, names map[switchdrivers.VLANID]string) map[switchdrivers.VLANID]string {
	reasons := map[switchdrivers.VLANID]string{}
	if !g.sw.ManageVLANs || !g.traits.HasVLANTable {
		return reasons
	}
	for _, v := range needed {
		if _, exists := actual.VLANs[v.VLAN]; !exists {
			to.VLANs[v.VLAN] = switchdrivers.VLAN{Name: names[v.VLAN]}
			reasons[v.VLAN] = "needed by network " + v.NetworkID
		}
	}
	if v := g.sw.Idle.VLAN; v != 0 {
		if _, exists := actual.VLANs[v]; !exists && len(g.ports) > 0 && g.unread == nil {
			to.VLANs[v] = switchdrivers.VLAN{}
			reasons[v] = "the idle VLAN"
		}
	}
	for v := range g.deletable().All() {
		have, exists := actual.VLANs[v]
		if exists && !g.used(v, actual, to.Ports) {
			from.VLANs[v] = have
			reasons[v] = "created by switchbind, and no port uses it any more"
		}
	}
	return reasons
}

// used reports whether any port carries the VLAN once the change is made. Uplinks do not count: they carry a VLAN for the sake
// of others. An unrestricted trunk does: whoever hangs there may be in any VLAN.
func (g *goal) used(v switchdrivers.VLANID, actual switchdrivers.State, changed map[string]switchdrivers.Port) bool {
	for name, port := range actual.Ports {
		if after, ok := changed[name]; ok {
			port = after
		}
		if port.LAG == "" && !g.sw.Uplinks.Contains(name) && port.VLANs().Contains(v) {
			return true
		}
	}
	return false
}

// guard is the last look before a write: whatever led to the change, it must not break the rules that protect tenants. What it
// finds is a bug of ours, so it takes the port out of the change and says so. It rests on the inventory and on the goal's claims
// alone, not on the way the change was made.
func guard(c switchdrivers.Change, g *goal) (switchdrivers.Change, map[string]*refusal) {
	found := map[string]*refusal{}
	for _, pc := range c.Ports {
		at := switchPort{g.sw.Name, pc.Name}
		pg := g.ports[pc.Name]
		if pg == nil {
			found[pc.Name] = &refusal{ReasonPortProtected, fmt.Sprintf("%s belongs to no binding and is not managed", at), at}
			continue
		}
		allowed := set(pg.vlans).With(g.sw.Idle.VLAN)
		extra := pc.To.VLANs().Minus(allowed)
		switch {
		case g.sw.Uplinks.Contains(pc.Name), g.sw.ProtectedPorts.Contains(pc.Name):
			found[pc.Name] = &refusal{ReasonPortProtected, fmt.Sprintf("%s is an uplink or a protected port", at), at}
		case !extra.IsEmpty():
			found[pc.Name] = &refusal{ReasonVLANNotAllowed, fmt.Sprintf("%s would be put into VLAN %s, which no binding of it asks for", at, extra), at}
		case pc.To.Mode == switchdrivers.ModeTrunk && pc.To.TaggedVLANs.Equal(switchdrivers.AllVLANs()):
			found[pc.Name] = &refusal{ReasonVLANNotAllowed, fmt.Sprintf("%s would carry all VLANs", at), at}
		}
	}
	if len(found) == 0 {
		return c, nil
	}
	ports := map[string]bool{}
	for name := range found {
		ports[name] = true
	}
	return c.Without(ports), found
}
