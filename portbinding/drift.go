package portbinding

import (
	"context"
	"time"
)

// tellDrift publishes what somebody changed behind our back, once.
func (w *worker) tellDrift(ctx context.Context, g *goal, ports []PortDrift) {
	now := map[string]string{}
	var news []PortDrift
	for _, d := range ports {
		text := d.Actual.String()
		now[d.Port] = text
		if w.drifted[d.Port] != text {
			news = append(news, d)
			w.log.Warn().Str("switch_port", d.Port).Str("port", d.PortID).Stringer("desired", d.Desired).Stringer("actual", d.Actual).
				Bool("repair", g.sw.Drift != "report").Msg("drift: the switch was changed by somebody else")
		}
	}
	if len(news) == 0 {
		w.drifted = now
		return
	}
	drift := Drift{Switch: w.name, Found: time.Now().UTC(), Repaired: g.sw.Drift != "report" && !w.engine.opt.DryRun, Ports: news}
	if err := w.engine.opt.Outbox.Drift(ctx, drift); err != nil {
		w.log.Warn().Err(err).Msg("drift could not be published")
		return // the next pass that finds it says so again
	}
	w.drifted = now
}
