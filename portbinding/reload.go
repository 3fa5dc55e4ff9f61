package portbinding

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/switchbind/switchbind/switchdrivers"
)

// SetInventory puts a new configuration in force without dropping work. It is refused, and the old one stays, when a switch that
// still holds something would go, or when a binding that is in force could not be any more.
func (e *Engine) SetInventory(ctx context.Context, inv *switchdrivers.Inventory) error {
	e.write.Lock()
	defer e.write.Unlock()
	if faults := e.losses(inv); len(faults) > 0 {
		return &LossError{faults}
	}
	e.mu.RLock()
	old := e.book.inv
	planned := &book{inv: inv, entries: e.book.entries, records: e.book.records} // what follows needs none of the indexes
	e.mu.RUnlock()
	t := e.resettle(planned)
	t.inventory = inv
	_, failed := e.commit(ctx, t)
	e.mu.Lock()
	if e.book.inv != inv {
		e.mu.Unlock()
		return failed
	}
	for _, name := range old.Names() {
		if inv.Switch(name) == nil {
			e.workers[name].quit()
			delete(e.workers, name)
		}
	}
	for _, name := range inv.Names() {
		switch {
		case old.Switch(name) == nil:
			e.startWorker(name)
		default:
			e.workers[name].reconfigure()
		}
	}
	e.mu.Unlock()
	return errors.Join(failed, e.opt.Signals.Dirty(ctx, inv.Names()...))
}

// losses lists what a new inventory would cut off: switches that still hold something, and bindings that are in force.
func (e *Engine) losses(inv *switchdrivers.Inventory) []string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(e.book.on)) {
		if held := len(e.book.on[name]); inv.Switch(name) == nil && e.book.inv.Switch(name) != nil && !e.book.retired(name) {
			faults = append(faults, fmt.Sprintf("switch %s is taken out but %d bindings still hold ports there: unbind them, or run `switchbind forget %s --because TEXT`",
				name, held, name))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.book.entries)) {
		entry := e.book.entries[id]
		layer := entry.Effective()
		if layer == nil || entry.Answer.Status != StatusBound {
			continue
		}
		_, no := resolve(layer.Binding, inv)
		if no != nil && !(inv.Switch(no.at.sw) == nil && e.anyRetired(entry)) {
			faults = append(faults, fmt.Sprintf("port %s is bound and would be refused (%s: %s): unbind it first", id, no.reason, no.message))
		}
	}
	return faults
}

func (e *Engine) anyRetired(entry *Entry) bool {
	return slices.ContainsFunc(entry.Claims, func(c Claim) bool { return e.book.retired(c.Switch) })
}

// resettle works out every entry's claims under the inventory of a book and returns what follows. The caller holds write.
func (e *Engine) resettle(b *book) transaction {
	var t transaction
	for _, id := range slices.Sorted(maps.Keys(b.entries)) {
		cur := b.entries[id]
		layer := cur.Effective()
		if layer == nil {
			continue
		}
		claims, no := resolve(layer.Binding, b.inv)
		refusedBefore := cur.Answer.Status == StatusRefused
		if sameClaims(cur.Claims, claims) && refusedBefore == (no != nil) {
			continue
		}
		next := cur.clone()
		e.adopt(b, next, changed, &t)
		t.entries = append(t.entries, next)
	}
	return t
}

func sameClaims(claims []Claim, attachments []attachment) bool {
	return slices.EqualFunc(claims, attachments, func(c Claim, a attachment) bool {
		return c.Switch == a.at.sw && c.Port == a.at.port && slices.EqualFunc(c.VLANs, a.vlans, HeldVLAN.is)
	})
}

func nameSet(names []string) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		out[n] = true
	}
	return out
}
