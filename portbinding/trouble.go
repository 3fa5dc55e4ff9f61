package portbinding

import (
	"errors"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// trouble is a port that the switch refused to change, or that reads back wrong.
type trouble struct {
	want    switchdrivers.Port
	err     error
	refused bool
	until   time.Time // when it is tried again; zero when that is now
	times   int
}

// retryMismatches makes sure that a port that was accepted but reads back wrong is tried again, at a growing distance.
func (w *worker) retryMismatches(outcomes map[string]outcome, g *goal) {
	for name, o := range outcomes {
		if o.reason != ReasonMismatch || g.sw.Drift == "report" && g.ports[name].settled() {
			if o.ok() {
				delete(w.refused, name)
			}
			continue
		}
		r := w.refused[name]
		if !r.until.IsZero() && time.Now().Before(r.until) {
			continue
		}
		times := r.times + 1
		w.refused[name] = trouble{want: g.ports[name].want, err: errors.New(o.message), times: times,
			until: time.Now().Add(min(w.circuit.pace.First<<min(times, 20), w.circuit.pace.Most))}
	}
}

// setAside remembers the ports that the switch refused.
func (w *worker) setAside(g *goal, refused map[string]error) {
	for name, err := range refused {
		pg := g.ports[name]
		if pg == nil {
			continue
		}
		r := trouble{want: pg.want, err: err, refused: true, times: w.refused[name].times + 1}
		r.until = time.Now().Add(min(30*w.circuit.pace.First<<min(r.times-1, 16), w.circuit.pace.Most))
		w.refused[name] = r
		w.log.Warn().Str("switch_port", name).Err(err).Time("retry_at", r.until).Msg("switch refused a port; the rest goes on")
	}
}

// aside is the plan's view of what was refused: ports whose retry is not due yet.
func (w *worker) aside(g *goal) aside {
	out := aside{}
	for name, r := range w.refused {
		pg := g.ports[name]
		if pg == nil {
			delete(w.refused, name)
			continue
		}
		if r.refused && !r.until.IsZero() && r.want.SameForwarding(pg.want) {
			out[name] = r.want
		}
	}
	return out
}
