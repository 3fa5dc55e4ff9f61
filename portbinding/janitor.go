package portbinding

import (
	"context"
	"time"
)

// janitor forgets entries whose tombstones have outlived every message about them.
func (e *Engine) janitor() {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
			if err := e.forgetOld(e.ctx, time.Now()); err != nil {
				e.log.Warn().Err(err).Msg("old entries could not be removed from the ledger")
			}
		}
	}
}

func (e *Engine) forgetOld(ctx context.Context, now time.Time) error {
	e.write.Lock()
	defer e.write.Unlock()
	var old []string
	e.mu.RLock()
	for id, entry := range e.book.entries {
		wanted := entry.Controller != nil && entry.Controller.Binding.State == Present // though overridden
		if !wanted && entry.Finished && entry.Answer.Status == StatusReleased && now.Sub(entry.Updated) > e.opt.Retention {
			old = append(old, id)
		}
	}
	e.mu.RUnlock()
	if len(old) == 0 {
		return nil
	}
	if err := e.opt.Ledger.Remove(ctx, old...); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range old {
		e.book.remove(id)
	}
	return nil
}
