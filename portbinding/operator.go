package portbinding

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// remark records a person's decision.
func (r OperatorRequest) remark(what string) *Remark {
	return &Remark{By: r.By, Because: r.Because, What: what, At: time.Now().UTC()}
}

func (r OperatorRequest) check(e *Engine, needsReason bool) error {
	if needsReason && r.Because == "" {
		return &InvalidError{"/because", "say why, with --because TEXT: it is kept with the decision"}
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.book.inv.Switch(r.Switch) == nil && e.book.records[r.Switch] == nil {
		return e.book.unknownSwitch(r.Switch)
	}
	return nil
}

func (b *book) unknownSwitch(name string) error {
	return &UnknownError{Kind: "switch", Name: name, Hint: "`switchbind switches` lists those there are"}
}

// Reconcile compares a switch, or all of them, now; also one that was left alone after failures.
func (e *Engine) Reconcile(_ context.Context, r OperatorRequest) (OperatorReport, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if r.Switch != "" && e.workers[r.Switch] == nil {
		return OperatorReport{}, e.book.unknownSwitch(r.Switch)
	}
	n := 0
	for name, w := range e.workers {
		if r.Switch == "" || r.Switch == name {
			w.force()
			n++
		}
	}
	what := r.Switch + " is"
	if r.Switch == "" {
		what = fmt.Sprintf("all switches (%d) are", n)
	}
	return OperatorReport{Done: true, Message: what + " being read and compared; `switchbind switches` shows how it went"}, nil
}

// Rebind makes everything that is bound to a port be applied and verified again.
func (e *Engine) Rebind(ctx context.Context, r RebindRequest) error {
	e.write.Lock()
	defer e.write.Unlock()
	e.mu.RLock()
	cur := e.book.entries[r.PortID]
	e.mu.RUnlock()
	if cur == nil {
		return &UnknownError{Kind: "port", Name: r.PortID, Hint: "`switchbind list` shows those there are"}
	}
	next := cur.clone()
	next.RequestID = r.RequestID
	if r.DropManual {
		if next.Manual == nil || next.Controller == nil {
			return &InvalidError{"/drop_manual", "nothing was changed by hand over what a controller wants"}
		}
		next.Manual = nil
	}
	var t transaction
	e.adopt(e.book, next, changed, &t)
	t.entries = append(t.entries, next)
	// The commit wakes the workers. By then they must know that what failed before is to be tried again, or they answer the question
	// with an old refusal.
	e.mu.RLock()
	for _, c := range next.Claims {
		if w := e.workers[c.Switch]; w != nil {
			w.pardon()
		}
	}
	e.mu.RUnlock()
	_, err := e.commit(ctx, t)
	return err
}

// Pause keeps switchbind away from a switch.
func (e *Engine) Pause(ctx context.Context, r OperatorRequest) (OperatorReport, error) {
	if err := r.check(e, true); err != nil {
		return OperatorReport{}, err
	}
	if err := e.changeRecord(ctx, r.Switch, func(s *SwitchRecord) bool { s.Paused = r.remark("pause"); return true }); err != nil {
		return OperatorReport{}, err
	}
	e.log.Warn().Str("switch", r.Switch).Str("by", r.By).Str("because", r.Because).Msg("switch paused")
	return OperatorReport{Done: true, Message: fmt.Sprintf("switch %s is left alone until `switchbind resume %s`; a change under way is finished", r.Switch, r.Switch)},
		e.opt.Signals.Dirty(ctx, r.Switch)
}

// Resume ends a pause, and tries again a switch that was left alone after failures.
func (e *Engine) Resume(ctx context.Context, r OperatorRequest) (OperatorReport, error) {
	if err := r.check(e, false); err != nil {
		return OperatorReport{}, err
	}
	if err := e.changeRecord(ctx, r.Switch, func(s *SwitchRecord) bool { was := s.Paused != nil; s.Paused = nil; return was }); err != nil {
		return OperatorReport{}, err
	}
	e.log.Info().Str("switch", r.Switch).Str("by", r.By).Msg("switch resumed")
	if w := e.worker(r.Switch); w != nil {
		w.force()
	}
	return OperatorReport{Done: true, Message: fmt.Sprintf("switch %s is worked on again", r.Switch)}, nil
}

// Replace says that a switch is new hardware: its host key is learned anew, everything on it is programmed again.
func (e *Engine) Replace(ctx context.Context, r OperatorRequest) (OperatorReport, error) {
	if err := r.check(e, false); err != nil {
		return OperatorReport{}, err
	}
	if e.opt.Env.Pins != nil {
		if err := e.opt.Env.Pins.Unpin(r.Switch); err != nil {
			return OperatorReport{}, fmt.Errorf("the old host key could not be forgotten: %w", err)
		}
	}
	if err := e.changeRecord(ctx, r.Switch, func(s *SwitchRecord) bool {
		s.CreatedVLANs, s.Surveyed, s.Unexplained, s.Paused = switchdrivers.VLANSet{}, false, nil, nil
		s.Forgotten = appendRemark(s.Forgotten, *r.remark("replaced"))
		return true
	}); err != nil {
		return OperatorReport{}, err
	}
	n, err := e.unsettle(ctx, r.Switch)
	if err != nil {
		return OperatorReport{}, err
	}
	if w := e.worker(r.Switch); w != nil {
		w.reconfigure()
	}
	e.log.Warn().Str("switch", r.Switch).Str("by", r.By).Str("because", r.Because).Msg("switch replaced")
	return OperatorReport{Done: true, Message: fmt.Sprintf("%d bindings are programmed on the new %s; put its switch_id and host key into the configuration "+
		"and send SIGHUP if they are not there yet", n, r.Switch)}, nil
}

// unsettle makes every binding on a switch be applied and answered again.
func (e *Engine) unsettle(ctx context.Context, name string) (int, error) {
	e.write.Lock()
	defer e.write.Unlock()
	var t transaction
	e.mu.RLock()
	var current []*Entry
	for id := range e.book.on[name] {
		current = append(current, e.book.entries[id])
	}
	e.mu.RUnlock()
	for _, cur := range current {
		next := cur.clone()
		e.adopt(e.book, next, changed, &t)
		t.entries = append(t.entries, next)
	}
	_, err := e.commit(ctx, t)
	return len(current), err
}

// Release makes a port idle that carries VLANs nobody explains.
func (e *Engine) Release(ctx context.Context, r OperatorRequest) (OperatorReport, error) {
	if err := r.check(e, true); err != nil {
		return OperatorReport{}, err
	}
	e.mu.RLock()
	platform := e.book.inv.Platform(r.Switch)
	e.mu.RUnlock()
	if platform == nil {
		return OperatorReport{}, &UnknownError{Kind: "switch", Name: r.Switch, Hint: "it is not in the configuration any more"}
	}
	port, err := platform.PortName(r.Port)
	if err != nil {
		return OperatorReport{}, err
	}
	found := false
	err = e.changeRecord(ctx, r.Switch, func(s *SwitchRecord) bool {
		s.Unexplained = slices.DeleteFunc(s.Unexplained, func(stray Stray) bool {
			if stray.Port != port {
				return false
			}
			found = true
			s.Releasing = append(s.Releasing, stray)
			return true
		})
		s.Forgotten = appendRemark(s.Forgotten, *r.remark("release " + port))
		return found
	})
	switch {
	case err != nil:
		return OperatorReport{}, err
	case !found:
		return OperatorReport{}, &UnknownError{Kind: "unexplained port", Name: r.Switch + "/" + port, Hint: "`switchbind switches -o yaml` lists them"}
	}
	e.log.Warn().Str("switch", r.Switch).Str("switch_port", port).Str("by", r.By).Str("because", r.Because).Msg("unexplained port is made idle")
	return OperatorReport{Done: true, Message: fmt.Sprintf("%s/%s is made idle; its VLANs leave quarantine when that is verified", r.Switch, port)},
		e.opt.Signals.Dirty(ctx, r.Switch)
}

// Forget drops what a switch, or one port of it, still holds. Without Confirm it only says what would stay exposed.
func (e *Engine) Forget(ctx context.Context, r OperatorRequest) (OperatorReport, error) {
	if err := r.check(e, true); err != nil {
		return OperatorReport{}, err
	}
	e.write.Lock()
	defer e.write.Unlock()
	port := r.Port
	e.mu.RLock()
	if platform := e.book.inv.Platform(r.Switch); platform != nil && port != "" {
		if name, err := platform.PortName(port); err == nil {
			port = name
		}
	}
	var t transaction
	var out OperatorReport
	for id := range e.book.on[r.Switch] {
		cur := e.book.entries[id]
		next := cur.clone()
		next.Leaving = slices.DeleteFunc(next.Leaving, func(h Hold) bool {
			if h.Switch != r.Switch || (port != "" && h.Port != port) {
				return false
			}
			out.Exposed = append(out.Exposed, h)
			return true
		})
		for _, c := range cur.Claims {
			if c.Switch == r.Switch && (port == "" || c.Port == port) {
				out.Held = append(out.Held, id)
				if port == "" && len(c.VLANs) > 0 {
					// When the switch then leaves the configuration, nobody keeps track of these either.
					out.Exposed = append(out.Exposed, Hold{Switch: c.Switch, Port: c.Port, VLANs: c.VLANs, Since: c.Since})
				}
			}
		}
		if len(next.Leaving) == len(cur.Leaving) {
			continue
		}
		next.Links = slices.DeleteFunc(next.Links, func(l LinkResult) bool {
			return l.Switch == r.Switch && (port == "" || l.Port == port) && !slices.ContainsFunc(next.Claims, func(c Claim) bool {
				return c.Switch == l.Switch && c.Port == l.Port
			})
		})
		if result := next.answer(e.book.derive(next), e.now()); result != nil {
			t.results = append(t.results, *result)
		}
		t.entries = append(t.entries, next)
	}
	record := *e.book.record(r.Switch)
	record.Forgotten = slices.Clone(record.Forgotten)
	for _, strays := range []*[]Stray{&record.Unexplained, &record.Releasing} {
		*strays = slices.DeleteFunc(slices.Clone(*strays), func(s Stray) bool {
			if port != "" && s.Port != port {
				return false
			}
			out.Exposed = append(out.Exposed, Hold{Switch: r.Switch, Port: s.Port, VLANs: strayVLANs(s), Since: s.Since})
			return true
		})
	}
	others := e.book.strandedBy(physicalNetworksOf(e.book, r.Switch))
	e.mu.RUnlock()
	slices.Sort(out.Held)
	what := "forget " + r.Switch
	if port != "" {
		what += "/" + port
	}
	out.Message = fmt.Sprintf("%s: no VLAN waits there to be left, so nothing stays exposed", what)
	if n := len(out.Exposed); n > 0 {
		out.Message = fmt.Sprintf("%s: nobody will keep track any more of VLANs that may still be on switch ports (%d)", what, n)
	}
	if !r.Confirm {
		return out, nil
	}
	if port == "" {
		// The whole switch is written off: it may leave the configuration, and if it ever answers again it is surveyed like new.
		record.Retired, record.Surveyed, record.Gating = r.remark(what), false, false
	}
	record.Forgotten = appendRemark(record.Forgotten, *r.remark(what))
	t.records = append(t.records, &record)
	t.mark(others)
	if _, err := e.commit(ctx, t); err != nil {
		return OperatorReport{}, err
	}
	out.Done = true
	e.log.Warn().Str("switch", r.Switch).Str("switch_port", port).Str("by", r.By).Str("because", r.Because).Int("exposed", len(out.Exposed)).Msg("forgotten")
	return out, nil
}

// strayVLANs names the stray VLANs of a report; a trunk of all VLANs is told by its first and last.
func strayVLANs(s Stray) []HeldVLAN {
	var out []HeldVLAN
	for v := range s.VLANs.All() {
		if len(out) == 64 {
			break
		}
		out = append(out, HeldVLAN{VLAN: v})
	}
	return out
}

func physicalNetworksOf(b *book, name string) []string {
	if sw := b.inv.Switch(name); sw != nil {
		return sw.PhysicalNetworks
	}
	var all []string
	for _, other := range b.inv.Names() {
		all = append(all, b.inv.Switch(other).PhysicalNetworks...)
	}
	return all
}

func appendRemark(list []Remark, r Remark) []Remark {
	const most = 32
	list = append(slices.Clone(list), r)
	return list[max(0, len(list)-most):]
}

// Export returns the whole ledger.
func (e *Engine) Export(context.Context) (LedgerExport, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := LedgerExport{Format: 1, Exported: time.Now().UTC()}
	for _, entry := range e.book.entries {
		out.Entries = append(out.Entries, entry)
	}
	for _, r := range e.book.records {
		out.Switches = append(out.Switches, r)
	}
	slices.SortFunc(out.Entries, func(x, y *Entry) int { return compareLinks(LinkResult{Port: x.PortID}, LinkResult{Port: y.PortID}) })
	slices.SortFunc(out.Switches, func(x, y *SwitchRecord) int { return compareLinks(LinkResult{Port: x.Name}, LinkResult{Port: y.Name}) })
	return out, nil
}

// Import takes what a backup knows and the ledger does not: entries that the ledger has are left alone, but for what the backup
// says they are leaving, which is added, because forgetting a hold is what breaks isolation.
func (e *Engine) Import(ctx context.Context, l LedgerExport, by string) (OperatorReport, error) {
	if l.Format != 1 {
		return OperatorReport{}, &InvalidError{"/format", fmt.Sprintf("format %d is not known to this version; it reads format 1", l.Format)}
	}
	e.write.Lock()
	defer e.write.Unlock()
	var t transaction
	added, merged := 0, 0
	for _, backup := range l.Entries {
		if backup == nil || backup.PortID == "" || backup.Top() == nil {
			return OperatorReport{}, &InvalidError{"/entries", "an entry has no port_id or no binding"}
		}
		e.mu.RLock()
		cur := e.book.entries[backup.PortID]
		e.mu.RUnlock()
		var next *Entry
		if cur == nil {
			next = backup.clone()
			next.Version = 0
			e.after(next)
			added++
		} else {
			next = cur.clone()
			claimed := map[switchPort][]HeldVLAN{}
			for _, c := range next.Claims {
				claimed[switchPort{c.Switch, c.Port}] = c.VLANs
			}
			for _, h := range backup.Leaving {
				at := switchPort{h.Switch, h.Port}
				next.leave(at, without(h.VLANs, claimed[at]), h.Since, e.book.retired)
			}
			for _, c := range backup.Claims {
				at := switchPort{c.Switch, c.Port}
				next.leave(at, without(c.VLANs, claimed[at]), c.Since, e.book.retired)
			}
			if reflect.DeepEqual(next.Leaving, cur.Leaving) {
				continue
			}
			merged++
		}
		e.adopt(e.book, next, changed, &t)
		t.entries = append(t.entries, next)
	}
	for _, backup := range l.Switches {
		if backup == nil || backup.Name == "" {
			return OperatorReport{}, &InvalidError{"/switches", "a switch has no name"}
		}
		e.mu.RLock()
		cur := e.book.record(backup.Name)
		e.mu.RUnlock()
		next := *cur
		next.CreatedVLANs = next.CreatedVLANs.Union(backup.CreatedVLANs)
		if !next.CreatedVLANs.Equal(cur.CreatedVLANs) {
			t.records = append(t.records, &next)
		}
	}
	if _, err := e.commit(ctx, t); err != nil {
		return OperatorReport{}, err
	}
	e.log.Warn().Str("by", by).Int("added", added).Int("merged", merged).Msg("ledger imported")
	return OperatorReport{Done: true, Message: fmt.Sprintf("%d entries added, %d got holds back, %d were known", added, merged, len(l.Entries)-added-merged)}, nil
}
