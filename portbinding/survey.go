package portbinding

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// study takes note of what a reading says beyond the ports of the goal: LAG membership, and, the first time, VLANs on bindable
// ports that nothing explains. Either may change the goal.
func (w *worker) study(ctx context.Context, g *goal, actual switchdrivers.State) error {
	if err := w.engine.regroup(ctx, w.name, actual); err != nil {
		return err
	}
	if !g.record.Surveyed {
		var found []Stray
		gating := g.record.Gating
		if err := w.engine.changeRecord(ctx, w.name, func(r *SwitchRecord) bool {
			now := w.engine.now()
			w.engine.mu.RLock()
			defer w.engine.mu.RUnlock()
			found = w.engine.book.unexplained(g.sw, g.traits, actual, now)
			r.Surveyed, r.Gating, r.Retired, r.Unexplained = true, false, nil, found
			return true
		}); err != nil {
			return err
		}
		for _, h := range found {
			w.log.Warn().Str("switch_port", h.Port).Stringer("vlans", h.VLANs).Str("policy", g.sw.Unexplained).
				Msg("a port carries VLANs that no binding explains")
		}
		if gating {
			if err := w.engine.wakeGated(ctx, g.sw.PhysicalNetworks); err != nil {
				return err
			}
		}
	}
	return w.disclaim(ctx, actual)
}

// tenantVLANs are those of a port's VLANs that a binding could get. VLAN 1 is not one unless the operator gives it to tenants: it is
// what every port of a fresh switch is in.
func tenantVLANs(port switchdrivers.Port, sw *switchdrivers.Switch, traits switchdrivers.Traits) switchdrivers.VLANSet {
	vlans := port.VLANs().Minus(traits.ReservedVLANs).Minus(switchdrivers.VLANs(sw.Idle.VLAN))
	if sw.AllowedVLANs.IsEmpty() {
		return vlans.Minus(switchdrivers.VLANs(1))
	}
	return vlans.Minus(vlans.Minus(sw.AllowedVLANs))
}

// unexplained lists the VLANs found on ports that could be bound but for which no binding speaks.
func (b *book) unexplained(sw *switchdrivers.Switch, traits switchdrivers.Traits, actual switchdrivers.State, now time.Time) []Stray {
	var found []Stray
	for port, have := range actual.Ports {
		at := switchPort{sw.Name, port}
		if mayBind(sw, port) != nil || have.LAG != "" {
			continue
		}
		vlans := tenantVLANs(have, sw, traits).Minus(b.knownAt(at))
		inUse := b.inUse(vlans, sw.PhysicalNetworks)
		if early := vlans.Minus(inUse); !early.IsEmpty() {
			found = append(found, Stray{Port: port, VLANs: early, Since: now})
		}
		if !inUse.IsEmpty() {
			found = append(found, Stray{Port: port, VLANs: inUse, Since: now, Late: true})
		}
	}
	slices.SortStableFunc(found, func(x, y Stray) int { return strings.Compare(x.Port, y.Port) })
	return found
}

// inUse is the part of some VLANs in which a binding was verified.
func (b *book) inUse(vlans switchdrivers.VLANSet, physical []string) switchdrivers.VLANSet {
	var used switchdrivers.VLANSet
	for key, networks := range b.held {
		if !vlans.Contains(key.vlan) || !slices.Contains(physical, key.physicalNetwork) {
			continue
		}
		for _, ids := range networks {
			for id := range ids {
				if e := b.entries[id]; e.Settled && e.Effective() != nil {
					used = used.With(key.vlan)
				}
			}
		}
	}
	return used
}

// knownAt is the VLANs for which an entry claims or leaves the port.
func (b *book) knownAt(at switchPort) switchdrivers.VLANSet {
	var known switchdrivers.VLANSet
	for id := range b.on[at.sw] {
		f := b.facts[id]
		for _, a := range slices.Concat(f.attachments, f.leaving) {
			if a.at == at {
				known = known.Union(set(a.vlans))
			}
		}
	}
	return known
}

// wakeGated marks the switches dirty that were waiting for this one to be read and now wait for no other: until the last switch of a
// physical network is read nobody there may proceed, and to look in vain after every single one takes for ever in a large site.
func (e *Engine) wakeGated(ctx context.Context, physical []string) error {
	e.write.Lock()
	defer e.write.Unlock()
	var t transaction
	names := map[string]bool{}
	e.mu.RLock()
	free := slices.DeleteFunc(slices.Clone(physical), e.book.gated)
	for _, name := range e.book.inv.Names() {
		if slices.ContainsFunc(e.book.inv.Switch(name).PhysicalNetworks, func(p string) bool { return slices.Contains(free, p) }) {
			names[name] = true
		}
	}
	e.mu.RUnlock()
	t.mark(names)
	_, err := e.commit(ctx, t)
	return err
}

// gated reports whether a switch of the physical network is still to be read for the first time.
func (b *book) gated(physicalNetwork string) bool {
	for name, r := range b.records {
		if sw := b.inv.Switch(name); r.Gating && sw != nil && slices.Contains(sw.PhysicalNetworks, physicalNetwork) {
			return true
		}
	}
	return false
}

// changeRecord changes what the ledger has about a switch. change returns false when there is nothing to store.
func (e *Engine) changeRecord(ctx context.Context, name string, change func(*SwitchRecord) bool) error {
	e.write.Lock()
	defer e.write.Unlock()
	return e.changeRecordLocked(ctx, name, change)
}

func (e *Engine) changeRecordLocked(ctx context.Context, name string, change func(*SwitchRecord) bool) error {
	e.mu.RLock()
	next := *e.book.record(name)
	e.mu.RUnlock()
	next.Unexplained, next.Releasing = slices.Clone(next.Unexplained), slices.Clone(next.Releasing)
	next.Forgotten = slices.Clone(next.Forgotten)
	if !change(&next) {
		return nil
	}
	_, err := e.commit(ctx, transaction{records: []*SwitchRecord{&next}})
	return err
}
