package portbinding

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// book is the ledger in memory, with the indexes that decisions need. It is pure: it does no I/O and knows no time. The engine
// guards it with a lock; entries and records in it are immutable.
type book struct {
	inv     *switchdrivers.Inventory
	entries map[string]*Entry
	records map[string]*SwitchRecord

	facts  map[string]*facts                          // what follows from an entry alone
	claims map[switchPort]map[string]bool             // who asks for a switch port
	held   map[segmentVLAN]map[string]map[string]bool // VLAN of a physical network -> network -> entries that may be in it
	on     map[string]map[string]bool                 // switch -> entries with a claim or a hold there

	strayVLANs map[string]switchdrivers.VLANSet // switch -> all its stray VLANs, where there are any
}

// segmentVLAN is one VLAN of one physical network: a layer-2 domain.
type segmentVLAN struct {
	physicalNetwork string
	vlan            switchdrivers.VLANID
}

// facts are what an entry means under the present inventory and LAG membership.
type facts struct {
	attachments []attachment // with links resolved to their LAG; one for each switch port
	refusal     *refusal
	leaving     []attachment // holds, likewise; only at and vlans are set
}

func newBook(inv *switchdrivers.Inventory) *book {
	b := &book{inv: inv, entries: map[string]*Entry{}, records: map[string]*SwitchRecord{}, strayVLANs: map[string]switchdrivers.VLANSet{}}
	b.reindex()
	return b
}

// reindex builds every index anew, after the inventory or the LAG membership of a switch changed.
func (b *book) reindex() {
	b.facts, b.claims = map[string]*facts{}, map[switchPort]map[string]bool{}
	b.held, b.on = map[segmentVLAN]map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, e := range b.entries {
		b.index(e)
	}
}

// clone returns a book that can be changed without changing b. Entries are shared: they are immutable.
func (b *book) clone() *book {
	c := &book{inv: b.inv, entries: maps.Clone(b.entries), records: maps.Clone(b.records), strayVLANs: maps.Clone(b.strayVLANs)}
	c.reindex()
	return c
}

func (b *book) put(e *Entry) {
	b.unindex(e.PortID)
	b.entries[e.PortID] = e
	b.index(e)
}

func (b *book) remove(portID string) {
	b.unindex(portID)
	delete(b.entries, portID)
}

// record returns what is known about a switch, never nil; the result must not be changed.
func (b *book) record(name string) *SwitchRecord {
	if r := b.records[name]; r != nil {
		return r
	}
	return &SwitchRecord{Name: name}
}

func (b *book) retired(sw string) bool { return b.record(sw).Retired != nil }

// putRecord puts a switch record into the book. Where LAG membership changed, links lead elsewhere.
func (b *book) putRecord(r *SwitchRecord) {
	regrouped := !maps.Equal(b.record(r.Name).LAGs, r.LAGs)
	b.records[r.Name] = r
	var stray switchdrivers.VLANSet
	for _, s := range slices.Concat(r.Unexplained, r.Releasing) {
		stray = stray.Union(s.VLANs)
	}
	if b.strayVLANs[r.Name] = stray; stray.IsEmpty() {
		delete(b.strayVLANs, r.Name)
	}
	if !regrouped {
		return
	}
	for _, id := range slices.Collect(maps.Keys(b.on[r.Name])) {
		e := b.entries[id]
		b.unindex(id)
		b.index(e)
	}
}

func (b *book) resolveLAG(at switchPort) switchPort {
	if r := b.records[at.sw]; r != nil {
		if lag, member := r.LAGs[at.port]; member {
			at.port = lag
		}
	}
	return at
}

// derive works out an entry's facts.
func (b *book) derive(e *Entry) *facts {
	f := &facts{}
	if layer := e.Effective(); layer != nil {
		var all []attachment
		all, f.refusal = resolve(layer.Binding, b.inv)
		seen := map[switchPort]bool{}
		for _, a := range all {
			a.at = b.resolveLAG(a.at)
			if f.refusal = mayBindLAG(b.inv, a.at); f.refusal != nil {
				f.attachments = nil
				break
			}
			if !seen[a.at] {
				seen[a.at] = true
				f.attachments = append(f.attachments, a)
			}
		}
	}
	for _, h := range e.Leaving {
		f.leaving = append(f.leaving, attachment{at: b.resolveLAG(switchPort{h.Switch, h.Port}), vlans: h.VLANs})
	}
	return f
}

// mayBindLAG repeats the check of the operator's word for the LAG that a link led to.
func mayBindLAG(inv *switchdrivers.Inventory, at switchPort) *refusal {
	sw := inv.Switch(at.sw)
	switch {
	case sw.Uplinks.Contains(at.port), sw.ProtectedPorts.Contains(at.port):
		return &refusal{ReasonPortProtected, fmt.Sprintf("%s is an uplink or a protected port", at), at}
	}
	return nil
}

func (b *book) index(e *Entry) {
	f := b.derive(e)
	b.facts[e.PortID] = f
	for _, a := range f.attachments {
		add(b.claims, a.at, e.PortID)
		add(b.on, a.at.sw, e.PortID)
		b.hold(e.PortID, a.vlans)
	}
	for _, a := range f.leaving {
		add(b.on, a.at.sw, e.PortID)
		b.hold(e.PortID, a.vlans)
	}
}

func (b *book) hold(portID string, vlans []HeldVLAN) {
	for _, v := range vlans {
		key := segmentVLAN{v.PhysicalNetwork, v.VLAN}
		if b.held[key] == nil {
			b.held[key] = map[string]map[string]bool{}
		}
		add(b.held[key], v.NetworkID, portID)
	}
}

func (b *book) unindex(portID string) {
	f := b.facts[portID]
	if f == nil {
		return
	}
	for _, a := range slices.Concat(f.attachments, f.leaving) {
		drop(b.claims, a.at, portID)
		drop(b.on, a.at.sw, portID)
		for _, v := range a.vlans {
			key := segmentVLAN{v.PhysicalNetwork, v.VLAN}
			drop(b.held[key], v.NetworkID, portID)
			if len(b.held[key]) == 0 {
				delete(b.held, key)
			}
		}
	}
	delete(b.facts, portID)
}

func add[K comparable](index map[K]map[string]bool, key K, id string) {
	if index[key] == nil {
		index[key] = map[string]bool{}
	}
	index[key][id] = true
}

func drop[K comparable](index map[K]map[string]bool, key K, id string) {
	delete(index[key], id)
	if len(index[key]) == 0 {
		delete(index, key)
	}
}

// wait says why a binding that could be served must not be yet; nil when nothing stands in its way. The links of a binding are
// one unit: when one has to wait, all do.
func (b *book) wait(e *Entry) *refusal {
	for _, a := range b.facts[e.PortID].attachments {
		if no := b.gate(a); no != nil {
			return no
		}
		if holder := b.holder(a.at); holder != e {
			return &refusal{ReasonPortTaken, fmt.Sprintf("%s is held by port %s%s, which claimed it earlier", a.at, holder.PortID,
				networkOf(holder)), a.at}
		}
		if no := b.quarantine(e, a); no != nil {
			return no
		}
	}
	return nil
}

func networkOf(e *Entry) string {
	if l := e.Effective(); l != nil && l.Binding.Network.Name != "" {
		return " of network " + switchdrivers.Quote(l.Binding.Network.Name)
	}
	return ""
}

// gate holds back every first write while the ledger is new: what the switches carry from before is not known until all that
// share a physical network were read.
func (b *book) gate(a attachment) *refusal {
	for _, v := range a.vlans {
		if name := b.gating([]string{v.PhysicalNetwork}); name != "" {
			no := notSurveyed(name, v.PhysicalNetwork)
			no.at = a.at
			return no
		}
	}
	return nil
}

// gating is the first switch that carries one of the physical networks and must be read before anything there is written; "" when
// there is none.
func (b *book) gating(physical []string) string {
	first := ""
	for name, r := range b.records {
		if sw := b.inv.Switch(name); r.Gating && sw != nil && (first == "" || name < first) &&
			slices.ContainsFunc(physical, func(p string) bool { return slices.Contains(sw.PhysicalNetworks, p) }) {
			first = name
		}
	}
	return first
}

func notSurveyed(name, physical string) *refusal {
	return refuse(ReasonNotSurveyed, "the ledger is new and switch %s, which also carries %s, has not been read yet (`switchbind switches` says why); "+
		"if it never will be: switchbind forget %s --because TEXT", name, physical, name)
}

// holder is the entry with the earliest claim to a switch port.
func (b *book) holder(at switchPort) *Entry {
	var first *Entry
	for id := range b.claims[at] {
		if e := b.entries[id]; first == nil || b.earlier(e, first, at) {
			first = e
		}
	}
	return first
}

// earlier reports whether e's claim to a switch port is older than f's. The port id decides between equals, so that every
// process decides alike.
func (b *book) earlier(e, f *Entry, at switchPort) bool {
	return timeLess(b.claimed(e, at), e.PortID, b.claimed(f, at), f.PortID)
}

func timeLess(a time.Time, aID string, c time.Time, cID string) bool {
	if !a.Equal(c) {
		return a.Before(c)
	}
	return aID < cID
}

// claimed is since when an entry claims a switch port.
func (b *book) claimed(e *Entry, at switchPort) time.Time {
	var first time.Time
	for _, c := range e.Claims {
		if b.resolveLAG(switchPort{c.Switch, c.Port}) == at && (first.IsZero() || c.Since.Before(first)) {
			first = c.Since
		}
	}
	return first
}

// asked is since when an entry asks for a VLAN on a switch port.
func (b *book) asked(e *Entry, at switchPort, v HeldVLAN) time.Time {
	var first time.Time
	for _, c := range e.Claims {
		if b.resolveLAG(switchPort{c.Switch, c.Port}) != at {
			continue
		}
		for _, h := range c.VLANs {
			if h.is(v) && (first.IsZero() || h.Since.Before(first)) {
				first = h.Since
			}
		}
	}
	return first
}

// quarantine refuses, for now, a VLAN that ports of another network may still be in. The port's own past does not count: it is
// rewritten whole.
func (b *book) quarantine(e *Entry, a attachment) *refusal {
	for _, v := range a.vlans {
		var in []string
		key := segmentVLAN{v.PhysicalNetwork, v.VLAN}
		for network, ids := range b.held[key] {
			if network == v.NetworkID {
				continue
			}
			for id := range ids {
				in = append(in, b.stillIn(e, a, v, b.entries[id], network)...)
			}
		}
		for _, r := range b.records {
			if sw := b.inv.Switch(r.Name); sw != nil && sw.Unexplained == "report" {
				continue
			}
			if !b.strayVLANs[r.Name].Contains(v.VLAN) {
				continue // this is asked for every VLAN of every binding
			}
			for _, strays := range [][]Stray{r.Unexplained, r.Releasing} {
				for _, stray := range strays {
					if !stray.VLANs.Contains(v.VLAN) || stray.Late && b.asked(e, a.at, v).Before(stray.Since) {
						continue
					}
					at := b.resolveLAG(switchPort{r.Name, stray.Port})
					if at != a.at && b.carries(r.Name, v.PhysicalNetwork) && !b.explained(at, v) {
						in = append(in, b.wayOut(at))
					}
				}
			}
		}
		if len(in) > 0 {
			slices.Sort(in)
			in = slices.Compact(in)
			text := strings.Join(in[:min(len(in), 5)], ", ")
			if more := len(in) - 5; more > 0 {
				text += fmt.Sprintf(" and %d more", more)
			}
			return &refusal{ReasonVLANQuarantined, fmt.Sprintf("VLAN %d of %s may still carry another network on: %s", v.VLAN, v.PhysicalNetwork, text), a.at}
		}
	}
	return nil
}

// wayOut names a port with a stray VLAN, and what to do about it.
func (b *book) wayOut(at switchPort) string {
	if len(b.claims[at]) > 0 {
		return fmt.Sprintf("%s (changed by somebody else: switchbind rebind %s repairs it)", at, at)
	}
	return fmt.Sprintf("%s (unexplained: switchbind release %s --because TEXT makes it idle, switchbind forget %s --because TEXT leaves it as it is)",
		at, at, at)
}

// stillIn lists the switch ports on which f, for another network, keeps e out of a VLAN that e wants on a: those for which f asked
// earlier, whether it still does or is not yet verified out of them. Who asked later never got the VLAN, so what it leaves is no
// reason to take the VLAN away from those who are in it.
func (b *book) stillIn(e *Entry, a attachment, wanted HeldVLAN, f *Entry, network string) []string {
	v := HeldVLAN{VLAN: wanted.VLAN, PhysicalNetwork: wanted.PhysicalNetwork, NetworkID: network}
	var in []string
	since := b.asked(e, a.at, wanted)
	for _, h := range b.facts[f.PortID].leaving {
		for _, left := range h.vlans {
			if h.at != a.at && left.is(v) && timeLess(left.Since, f.PortID, since, e.PortID) {
				in = append(in, fmt.Sprintf("%s (port %s of network %s left it)", h.at, f.PortID, network))
			}
		}
	}
	if f == e {
		return in
	}
	for _, c := range b.facts[f.PortID].attachments {
		if c.at != a.at && slices.ContainsFunc(c.vlans, v.is) && timeLess(b.asked(f, c.at, v), f.PortID, since, e.PortID) {
			in = append(in, fmt.Sprintf("%s (port %s of network %s)", c.at, f.PortID, network))
		}
	}
	return in
}

// carries reports whether a switch is part of a physical network. One that left the configuration may be part of any.
func (b *book) carries(sw, physicalNetwork string) bool {
	s := b.inv.Switch(sw)
	return s == nil || slices.Contains(s.PhysicalNetworks, physicalNetwork)
}

// explained reports whether a binding claims the port with this very VLAN and network: then what was found there is its own.
func (b *book) explained(at switchPort, v HeldVLAN) bool {
	for id := range b.claims[at] {
		for _, a := range b.facts[id].attachments {
			if a.at == at && slices.ContainsFunc(a.vlans, v.is) {
				return true
			}
		}
	}
	return false
}

// waitersOn adds the switches of the bindings that may be waiting for what an entry has or had: for its switch ports, or for its
// VLANs on behalf of another network.
func (b *book) waitersOn(id string, f *facts, into map[string]bool) {
	if f == nil {
		return
	}
	for _, a := range slices.Concat(f.attachments, f.leaving) {
		for other := range b.claims[a.at] {
			if other != id {
				b.switchesOf(other, into)
			}
		}
		for _, v := range a.vlans {
			for network, ids := range b.held[segmentVLAN{v.PhysicalNetwork, v.VLAN}] {
				if network == v.NetworkID {
					continue
				}
				for other := range ids {
					b.switchesOf(other, into)
				}
			}
		}
	}
}

// switchesOf adds the switches that an entry's binding asks for.
func (b *book) switchesOf(id string, into map[string]bool) {
	for _, a := range b.facts[id].attachments {
		into[a.at.sw] = true
	}
}
