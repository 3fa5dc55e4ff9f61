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
	stuck   bool      // the switch would not even make the port idle
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

// setAside remembers what the switch refused. It reports whether ports have to be made idle, because they could not be put into
// the state that was wished for.
func (w *worker) setAside(g *goal, c switchdrivers.Change, a *applier) (retreat bool) {
	for _, pc := range c.Ports {
		err, pg := a.refused[pc.Name], g.ports[pc.Name]
		if err == nil || pg == nil {
			continue
		}
		r := trouble{want: pg.want, err: err, refused: true, stuck: pc.To.SameForwarding(g.sw.Idle.Port()), times: w.refused[pc.Name].times + 1}
		r.until = time.Now().Add(w.patience(r.times))
		w.refused[pc.Name] = r
		retreat = retreat || !r.stuck
		w.log.Warn().Str("switch_port", pc.Name).Err(err).Time("retry_at", r.until).Msg("switch refused a port; the rest goes on")
	}
	for _, v := range c.Delete {
		err := a.vlans[v.ID]
		if err == nil {
			delete(w.undeleted, v.ID)
			continue
		}
		r := trouble{err: err, refused: true, times: w.undeleted[v.ID].times + 1}
		r.until = time.Now().Add(w.patience(r.times))
		w.undeleted[v.ID] = r
		w.log.Warn().Stringer("vlan", v.ID).Err(err).Time("retry_at", r.until).Msg("switch refused to delete a VLAN")
	}
	return retreat
}

// patience is how long what the switch refused so many times is left alone.
func (w *worker) patience(times int) time.Duration {
	return min(30*w.circuit.pace.First<<min(times-1, 16), w.circuit.pace.Most)
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
			out[name] = r
		}
	}
	return out
}
