package portbinding

import (
	"context"

	"github.com/switchbind/switchbind/switchdrivers"
)

// intend writes down, before the switch is touched, what a crash must not make us forget: VLANs that will be ours, and that the
// running configuration will differ from the saved one.
func (w *worker) intend(ctx context.Context, g *goal, c switchdrivers.Change) error {
	return w.engine.changeRecord(ctx, w.name, func(r *SwitchRecord) bool {
		created := r.CreatedVLANs
		for _, v := range c.VLANs {
			if v.From == nil {
				created = created.With(v.ID)
			}
		}
		unsaved := r.Unsaved || g.traits.NeedsSave
		news := !created.Equal(r.CreatedVLANs) || unsaved != r.Unsaved
		r.CreatedVLANs, r.Unsaved = created, unsaved
		return news
	})
}

// disclaim gives up VLANs that we created and that do not exist any more: who makes them anew owns them, and we must not delete them.
func (w *worker) disclaim(ctx context.Context, actual switchdrivers.State) error {
	gone := func(r *SwitchRecord) (vlans switchdrivers.VLANSet) {
		for v := range r.CreatedVLANs.All() {
			if _, exists := actual.VLANs[v]; !exists {
				vlans = vlans.With(v)
			}
		}
		return vlans
	}
	w.engine.mu.RLock()
	none := gone(w.engine.book.record(w.name)).IsEmpty()
	w.engine.mu.RUnlock()
	if none {
		return nil
	}
	return w.engine.changeRecord(ctx, w.name, func(r *SwitchRecord) bool {
		r.CreatedVLANs = r.CreatedVLANs.Minus(gone(r))
		return true
	})
}
