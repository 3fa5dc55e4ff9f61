package portbinding

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// goal is what one switch should be: every port that a binding, the undoing of one, or the operator gives us a say in, and
// nothing about any other.
type goal struct {
	sw     *switchdrivers.Switch
	traits switchdrivers.Traits
	record *SwitchRecord
	ports  map[string]*portGoal
	// keep are VLANs that bindings here ask for, whether they may have them yet or not: they are not deleted.
	keep switchdrivers.VLANSet
	// unread is set while the ledger is new and a switch that shares a physical network with this one has not been read: until then
	// nothing is written, not even to make a port idle. Servers may be at work on it.
	unread *refusal
	// wishes are the entries that the goal was made from, by the time at which they were accepted: a report about an older wish
	// says nothing about a newer one.
	wishes map[string]time.Time
}

// portGoal is what one port should be, and who cares.
type portGoal struct {
	port    string
	want    switchdrivers.Port
	vlans   []HeldVLAN // those of want
	owner   *Entry     // whose wish want is; nil: the port is to be idle
	network string     // the owner's network name, for VLAN names
	waiting []waiter
	leaving []*Entry
	// because says why the port is ours to touch.
	because string
}

// waiter is a binding that asks for the port and cannot have it now.
type waiter struct {
	entry *Entry
	why   *refusal
}

// goalOf works out what a switch should be. It asks only the book: no switch, no clock.
func (b *book) goalOf(name string) *goal {
	g := &goal{sw: b.inv.Switch(name), traits: b.inv.Platform(name).Traits(), record: b.record(name),
		ports: map[string]*portGoal{}, wishes: map[string]time.Time{}}
	if gating := b.gating(g.sw.PhysicalNetworks); gating != "" {
		g.unread = notSurveyed(gating, strings.Join(g.sw.PhysicalNetworks, ", "))
	}
	idle := g.sw.Idle.Port()
	touch := func(port, because string) *portGoal {
		p := g.ports[port]
		if p == nil {
			p = &portGoal{port: port, want: idle, because: because}
			g.ports[port] = p
		}
		return p
	}
	for _, id := range slices.Sorted(maps.Keys(b.on[name])) {
		e, f := b.entries[id], b.facts[id]
		g.wishes[id] = e.Accepted
		var why *refusal
		waited := false
		for _, a := range f.attachments {
			if a.at.sw != name {
				continue
			}
			if !waited {
				why, waited = b.wait(e), true
			}
			p := touch(a.at.port, "port "+id+" waits for it")
			g.keep = g.keep.Union(set(a.vlans))
			if why != nil {
				p.waiting = append(p.waiting, waiter{e, why})
				continue
			}
			p.want, p.vlans, p.owner = a.want, a.vlans, e
			p.network = e.Effective().Binding.Network.Name
			p.because = "bind port " + id + networkOf(e)
		}
		for _, a := range f.leaving {
			if a.at.sw == name {
				p := touch(a.at.port, "undo port "+id)
				p.leaving = append(p.leaving, e)
			}
		}
	}
	for _, h := range g.record.Releasing {
		touch(b.resolveLAG(switchPort{name, h.Port}).port, "released by an operator")
	}
	for _, port := range g.sw.ManagedPorts.Names() {
		touch(b.resolveLAG(switchPort{name, port}).port, "in managed_ports, and nothing is bound")
	}
	return g
}

// scope is what has to be read to reach the goal. The whole switch is read where more than the goal's ports counts: the first
// time, and before VLANs are deleted, which other ports may be using.
func (g *goal) scope() switchdrivers.Scope {
	if !g.record.Surveyed || !g.deletable().IsEmpty() {
		return switchdrivers.Scope{}
	}
	ports := slices.Collect(maps.Keys(g.ports))
	for _, stray := range g.record.Unexplained {
		ports = append(ports, stray.Port) // somebody may have cleaned it up
	}
	slices.Sort(ports)
	return switchdrivers.Scope{Ports: slices.Compact(ports)}
}

// readBy reports whether a reading of the scope has everything that the goal is about.
func (g *goal) readBy(scope switchdrivers.Scope) bool {
	if scope.Ports == nil {
		return true
	}
	for name := range g.ports {
		if !slices.Contains(scope.Ports, name) {
			return false
		}
	}
	return g.deletable().IsEmpty()
}

// deletable are the VLANs that we created here and that no binding here asks for any more.
func (g *goal) deletable() switchdrivers.VLANSet {
	if !g.sw.ManageVLANs || !g.traits.HasVLANTable || g.unread != nil {
		return switchdrivers.VLANSet{}
	}
	return g.record.CreatedVLANs.Minus(g.keep).Minus(switchdrivers.VLANs(g.sw.Idle.VLAN))
}
