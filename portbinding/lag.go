package portbinding

import (
	"context"
	"maps"

	"github.com/switchbind/switchbind/switchdrivers"
)

// regroup takes note of a switch's LAG membership. What an entry asked for, or left, by way of a port that is no member any more may
// still be on the LAG interface: it is held there until it is verified out. That is in the ledger before anything is written under
// the new membership.
func (e *Engine) regroup(ctx context.Context, name string, actual switchdrivers.State) error {
	now := map[string]string{}
	for lag, members := range actual.LAGs {
		for _, member := range members.Members {
			now[member] = lag
		}
	}
	e.mu.RLock()
	same := maps.Equal(now, e.book.record(name).LAGs)
	e.mu.RUnlock()
	if same {
		return nil
	}
	e.write.Lock()
	defer e.write.Unlock()
	var t transaction
	others := map[string]bool{}
	e.mu.RLock()
	record := *e.book.record(name)
	for id := range e.book.on[name] {
		cur := e.book.entries[id]
		next := cur.clone()
		moved := false
		stay := func(sw, port string, vlans []HeldVLAN) {
			lag := record.LAGs[port]
			if sw != name || lag == "" || now[port] == lag || len(vlans) == 0 {
				return
			}
			moved = true
			next.leave(switchPort{name, lag}, vlans, e.now(), e.book.retired)
		}
		for _, c := range cur.Claims {
			stay(c.Switch, c.Port, c.VLANs)
		}
		for _, h := range cur.Leaving {
			stay(h.Switch, h.Port, h.VLANs)
		}
		if moved {
			t.entries = append(t.entries, next)
		}
		// The links of a binding are one unit: what changed here may free those on other switches.
		e.book.switchesOf(id, others)
	}
	e.mu.RUnlock()
	delete(others, name) // this is its own pass
	record.LAGs = now
	t.records = append(t.records, &record)
	t.mark(others)
	_, err := e.commit(ctx, t)
	return err
}
