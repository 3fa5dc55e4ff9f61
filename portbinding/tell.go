package portbinding

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// report brings what a pass found out into the book and the ledger, and publishes the results that follow.
func (w *worker) report(ctx context.Context, g *goal, outcomes map[string]outcome, actual *switchdrivers.State, tried bool) {
	if err := w.engine.take(ctx, report{goal: g, outcomes: outcomes, actual: actual, tried: tried}); err != nil && ctx.Err() == nil {
		// The switch is what it is; only our knowledge of it could not be kept. Look again soon.
		w.log.Error().Err(err).Msg("what was found out could not be kept")
		w.soonAt = time.Now().Add(soon)
	}
}

// take learns from a report.
func (e *Engine) take(ctx context.Context, r report) error {
	e.write.Lock()
	defer e.write.Unlock()
	var t transaction
	now := e.now()
	e.mu.RLock()
	for id, wish := range r.goal.wishes {
		cur := e.book.entries[id]
		if cur == nil || !cur.Accepted.Equal(wish) {
			continue // it was changed meanwhile, and its switches are marked dirty
		}
		if r.actual == nil && cur.Finished {
			continue // the switch could not be asked: what was verified last stands
		}
		next, result := e.book.learn(cur, r, now)
		if sameKnowledge(cur, next) && result == nil {
			t.memory = append(t.memory, next)
			continue
		}
		t.entries = append(t.entries, next)
		if result != nil {
			t.results = append(t.results, *result)
		}
	}
	if record := e.book.strays(r, now); record != nil {
		t.records = append(t.records, record)
		t.mark(e.book.strandedBy(r.goal.sw.PhysicalNetworks))
	}
	if e.book.overtaken(r.goal) {
		t.mark(nameSet([]string{r.goal.sw.Name}))
	}
	e.mu.RUnlock()
	_, err := e.commit(ctx, t)
	return err
}

// strays returns the switch's record with the stray VLANs that the reading shows: without those that are gone or accounted for, and
// with those that ports of ours were found in although nobody asked for it. nil is a reading that shows nothing new.
func (b *book) strays(r report, now time.Time) *SwitchRecord {
	if r.actual == nil {
		return nil
	}
	record := b.record(r.goal.sw.Name)
	changed := false
	clear := func(strays []Stray) []Stray {
		var left []Stray
		for _, s := range strays {
			at := b.resolveLAG(switchPort{r.goal.sw.Name, s.Port})
			have, read := r.actual.Ports[at.port]
			if o, ok := r.outcomes[at.port]; ok && o.ok() {
				changed = true
				continue
			}
			if read && s.VLANs.Minus(have.VLANs()).Len() > 0 {
				changed = true
				s.VLANs = s.VLANs.Minus(s.VLANs.Minus(have.VLANs()))
			}
			if !s.VLANs.IsEmpty() {
				left = append(left, s)
			}
		}
		return left
	}
	next := *record
	next.Unexplained, next.Releasing = clear(slices.Clone(record.Unexplained)), clear(slices.Clone(record.Releasing))
	for _, name := range slices.Sorted(maps.Keys(r.goal.ports)) {
		at := switchPort{r.goal.sw.Name, name}
		have, read := r.actual.Ports[name]
		if !read || r.outcomes[name].ok() || have.LAG != "" {
			continue
		}
		found := tenantVLANs(have, r.goal.sw, r.goal.traits).Minus(b.knownAt(at))
		for _, s := range slices.Concat(next.Unexplained, next.Releasing) {
			if b.resolveLAG(switchPort{at.sw, s.Port}) == at {
				found = found.Minus(s.VLANs)
			}
		}
		if !found.IsEmpty() {
			changed = true
			next.Unexplained = append(next.Unexplained, Stray{Port: name, VLANs: found, Since: now, Late: true})
		}
	}
	if !changed {
		return nil
	}
	return &next
}

// strandedBy are the switches of physical networks on which bindings are known to wait for a VLAN to come out of quarantine, or for
// a switch to be read. Those that were not told to wait yet look by themselves; see overtaken.
func (b *book) strandedBy(physical []string) map[string]bool {
	names := map[string]bool{}
	for _, name := range b.inv.Names() {
		if slices.ContainsFunc(b.inv.Switch(name).PhysicalNetworks, func(p string) bool { return slices.Contains(physical, p) }) && b.strands(name) {
			names[name] = true
		}
	}
	return names
}

// strands reports whether a binding waits on a switch for others to be verified out, or read.
func (b *book) strands(name string) bool {
	for id := range b.on[name] {
		for _, l := range b.entries[id].Links {
			if l.Switch == name && (l.Reason == ReasonVLANQuarantined || l.Reason == ReasonNotSurveyed) {
				return true
			}
		}
	}
	return false
}

// overtaken reports whether a binding that had to wait when the goal was made need not wait any more: whoever ended that did not
// know of it, so the switch must look again.
func (b *book) overtaken(g *goal) bool {
	for _, pg := range g.ports {
		for _, w := range pg.waiting {
			if e := b.entries[w.entry.PortID]; e != nil && b.facts[e.PortID].refusal == nil && b.wait(e) == nil {
				return true
			}
		}
	}
	return false
}
