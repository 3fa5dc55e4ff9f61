package portbinding

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SnapshotPolicy limits what a snapshot may take away by itself. A controller whose database was lost must not empty a data
// centre.
type SnapshotPolicy struct {
	// MostRemovals is how many bindings one snapshot may remove; 0 is 20, negative is no limit.
	MostRemovals int
	// MostShare is which part of the source's bindings one snapshot may remove; 0 is 0.2, negative is no limit. Removing a single
	// binding is always within it.
	MostShare float64
}

func (p SnapshotPolicy) withDefaults() SnapshotPolicy {
	if p.MostRemovals == 0 {
		p.MostRemovals = 20
	}
	if p.MostShare == 0 {
		p.MostShare = 0.2
	}
	return p
}

// allows reports whether removing some of so many bindings needs nobody's consent.
func (p SnapshotPolicy) allows(removed, of int) bool {
	if p.MostRemovals > 0 && removed > p.MostRemovals {
		return false
	}
	return p.MostShare < 0 || removed <= 1 || float64(removed) <= p.MostShare*float64(of)
}

// heldSnapshot is a snapshot that waits for an operator's consent.
type heldSnapshot struct {
	snapshot Snapshot
	removed  []string
}

// Snapshot takes a controller's whole truth: its bindings are newer than what was heard before it began, and bindings of its
// source that it does not have, and that nothing was heard of since, are gone.
func (e *Engine) Snapshot(ctx context.Context, s Snapshot) (SnapshotReport, error) {
	return e.takeSnapshot(ctx, s, false)
}

// AcceptSnapshot does what a held snapshot of a source asks for, and also believes its revisions where they are lower than ours
// (the controller's database was restored). source may be "" when only one is held.
func (e *Engine) AcceptSnapshot(ctx context.Context, source, by string) (SnapshotReport, error) {
	e.mu.RLock()
	if source == "" && len(e.held) == 1 {
		for only := range e.held {
			source = only
		}
	}
	held, ok := e.held[source]
	sources := slices.Sorted(maps.Keys(e.held))
	e.mu.RUnlock()
	if !ok {
		hint := "none is held"
		if len(sources) > 0 {
			hint = "held are those of " + strings.Join(sources, ", ")
		}
		return SnapshotReport{}, &UnknownError{Kind: "held snapshot", Name: source, Hint: hint}
	}
	e.log.Warn().Str("source", source).Str("snapshot", held.snapshot.ID).Str("by", by).Int("removes", len(held.removed)).Msg("held snapshot accepted")
	return e.takeSnapshot(ctx, held.snapshot, true)
}

func (e *Engine) takeSnapshot(ctx context.Context, s Snapshot, accepted bool) (SnapshotReport, error) {
	e.write.Lock()
	defer e.write.Unlock()
	report := SnapshotReport{ID: s.ID, Source: s.Source}
	named := map[string]bool{}
	for _, b := range s.Bindings {
		named[b.PortID] = true
	}
	var t transaction
	e.mu.RLock()
	own, lower := 0, 0
	for _, id := range slices.Sorted(maps.Keys(e.book.entries)) {
		entry := e.book.entries[id]
		known := entry.Controller
		if known == nil || known.Source != s.Source || known.Binding.State != Present {
			continue
		}
		own++
		if _, is := named[id]; !is && !known.Received.After(s.Begin) {
			report.Removed = append(report.Removed, id)
		}
	}
	for _, b := range s.Bindings {
		if entry := e.book.entries[b.PortID]; entry != nil && entry.Controller != nil && entry.Controller.Source == s.Source &&
			b.Revision < entry.Controller.Binding.Revision && !entry.Controller.Received.After(s.Begin) {
			lower++
		}
	}
	e.mu.RUnlock()
	if !accepted && !e.opt.Snapshot.allows(len(report.Removed), own) {
		return e.holdSnapshot(s, report, own), nil
	}
	for _, b := range s.Bindings {
		if named[b.PortID] { // once, however often it is there
			e.takeFromSnapshot(s, b, accepted, &t)
			named[b.PortID] = false
		}
	}
	for _, id := range report.Removed {
		e.mu.RLock()
		cur := e.book.entries[id]
		e.mu.RUnlock()
		next := cur.clone()
		layer := *cur.Controller
		layer.Received = s.Begin
		layer.Binding = Binding{PortID: id, Revision: layer.Binding.Revision, Digest: layer.Binding.Digest, State: Absent} // it may be bound again
		next.Controller = &layer
		e.adopt(e.book, next, next.endManual(changed), &t)
		t.entries = append(t.entries, next)
	}
	report.Changed = len(t.entries) - len(report.Removed)
	if _, err := e.commit(ctx, t); err != nil {
		return report, err
	}
	e.mu.Lock()
	delete(e.held, s.Source)
	e.mu.Unlock()
	report.Message = fmt.Sprintf("%d bindings changed, %d removed", report.Changed, len(report.Removed))
	if lower > 0 && !accepted {
		report.Message += fmt.Sprintf("; %d have a lower revision than ours and were left alone: if the controller's database was restored, "+
			"ask for a snapshot that is held, or bind them anew", lower)
	}
	e.log.Info().Str("source", s.Source).Str("snapshot", s.ID).Int("changed", report.Changed).Int("removed", len(report.Removed)).Msg("snapshot taken")
	return report, nil
}

// takeFromSnapshot merges one binding. An accepted snapshot is believed where its revision is lower, too.
func (e *Engine) takeFromSnapshot(s Snapshot, b Binding, accepted bool, t *transaction) {
	e.mu.RLock()
	cur := e.book.entries[b.PortID]
	e.mu.RUnlock()
	if accepted && cur != nil && cur.Controller != nil && cur.Controller.Source == s.Source && !cur.Controller.Received.After(s.Begin) &&
		b.Revision < cur.Controller.Binding.Revision && cur.Controller.Binding.State != Deleted {
		back := cur.clone()
		layer := *cur.Controller
		layer.Binding.Revision = b.Revision
		back.Controller = &layer
		cur = back
	}
	next, v, err := merge(cur, Message{Source: s.Source, Received: s.Begin, Snapshot: true, Binding: b})
	switch {
	case err != nil:
		e.log.Warn().Err(err).Str("port", b.PortID).Str("snapshot", s.ID).Msg("binding in a snapshot left alone")
	case v != ignored:
		e.adopt(e.book, next, v, t)
		t.entries = append(t.entries, next)
	}
}

func (e *Engine) holdSnapshot(s Snapshot, report SnapshotReport, own int) SnapshotReport {
	e.mu.Lock()
	e.held[s.Source] = heldSnapshot{s, report.Removed}
	e.mu.Unlock()
	report.Held = true
	report.Message = fmt.Sprintf("the snapshot would remove %d of %d bindings of %s: nothing was done; if that is right: switchbind snapshot accept %s",
		len(report.Removed), own, s.Source, s.Source)
	e.log.Error().Str("source", s.Source).Str("snapshot", s.ID).Int("removes", len(report.Removed)).Int("of", own).Msg(report.Message)
	return report
}
