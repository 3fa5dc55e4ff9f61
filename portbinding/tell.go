package portbinding

import (
	"context"
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
	if record := e.book.cleared(r); record != nil {
		t.records = append(t.records, record)
		t.mark(e.book.strandedBy(r.goal.sw.PhysicalNetworks))
	}
	e.mu.RUnlock()
	_, err := e.commit(ctx, t)
	return err
}

// cleared returns the switch's record without the stray VLANs that the reading shows to be gone or accounted for; nil when that
// changes nothing.
func (b *book) cleared(r report) *SwitchRecord {
	record := b.record(r.goal.sw.Name)
	if r.actual == nil || len(record.Unexplained)+len(record.Releasing) == 0 {
		return nil
	}
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
	if !changed {
		return nil
	}
	return &next
}

// strandedBy are the switches of physical networks, whose bindings may have been waiting for a VLAN to come out of quarantine.
func (b *book) strandedBy(physical []string) map[string]bool {
	names := map[string]bool{}
	for _, name := range b.inv.Names() {
		if len(b.on[name]) > 0 && slices.ContainsFunc(b.inv.Switch(name).PhysicalNetworks, func(p string) bool { return slices.Contains(physical, p) }) {
			names[name] = true
		}
	}
	return names
}
