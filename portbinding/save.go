package portbinding

import (
	"context"
	"time"
)

// putOffSave lets every change put the save off, so that several become one, but not for ever.
func (w *worker) putOffSave(after time.Duration) {
	const most = 10 // quiet times that a switch which is never quiet waits for its save
	now := time.Now()
	if w.unsavedFrom.IsZero() {
		w.unsavedFrom = now
	}
	w.saveAt = now.Add(after)
	if last := w.unsavedFrom.Add(most * after); last.Before(w.saveAt) {
		w.saveAt = last
	}
}

// save makes the running configuration survive a reload, once the switch has been quiet for a while.
func (w *worker) save(ctx context.Context, fence Fence) {
	w.saveAt, w.unsavedFrom = time.Time{}, time.Time{}
	g := w.goal()
	if g == nil || g.sw.Save.Never || g.record.Paused != nil || w.engine.opt.DryRun {
		return
	}
	if err := fence(ctx); err != nil {
		w.saveAt = time.Now().Add(g.sw.Save.After)
		return
	}
	if err := w.connect(); err != nil {
		w.fail(ctx, err)
		return
	}
	if err := w.driver.Save(ctx); err != nil {
		w.saveAt = time.Now().Add(w.circuit.pace.Most)
		w.fail(ctx, err)
		return
	}
	w.usedAt = time.Now()
	if err := w.engine.changeRecord(ctx, w.name, func(r *SwitchRecord) bool { was := r.Unsaved; r.Unsaved = false; return was }); err != nil {
		w.log.Warn().Err(err).Msg("saved, but the ledger still says unsaved")
	}
	w.log.Info().Msg("running configuration saved")
}

func (w *worker) unsaved() bool {
	w.engine.mu.RLock()
	defer w.engine.mu.RUnlock()
	return w.engine.book.record(w.name).Unsaved
}
