package portbinding

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/switchbind/switchbind/switchdrivers"
)

// worker is the one owner of one switch: it alone reads it and writes it, one pass at a time. Whatever arrives while a pass is
// under way is done together in the next one.
type worker struct {
	engine *Engine
	name   string
	log    zerolog.Logger
	wake   chan struct{} // capacity 1: a wish to look, however many there were
	asks   chan func(context.Context)
	done   chan struct{} // closed when the switch leaves the configuration

	mu      sync.Mutex
	fence   Fence // nil while another process owns the switch
	renewed bool  // the configuration changed: connect anew, try again at once
	forced  bool  // a person asked: compare now, whatever the circuit says
	view    health

	// The rest belongs to the worker's goroutine.
	driver  switchdrivers.Driver
	circuit circuit
	refused map[string]trouble
	drifted map[string]string // port -> the drift that was reported, so that it is said once
	wishes  map[string]string // in a dry run: port -> the change that was logged, likewise
	saveAt  time.Time
	// unsavedFrom is when the oldest change was made that is not saved: a switch that is never quiet is saved all the same.
	unsavedFrom time.Time
	pollAt      time.Time
	owned       bool
	// lateAt is when whatever a broken session, or a former owner that died, still had on its way to the switch has arrived: a
	// command that was begun goes on without us, and may end after the next one was verified. So there is one more look.
	lateAt time.Time
	soonAt time.Time // another look is due then, whatever the circuit says: what was found out could not be told
	usedAt time.Time
	// dormant says that we may not work on the switch: nothing is due until somebody wakes us.
	dormant bool
	// undeleted are VLANs that the switch would not delete, and when that is tried again.
	undeleted map[switchdrivers.VLANID]trouble
}

// errStopping says that the service is being stopped.
var errStopping = errors.New("the service is stopping")

// errGone says that the switch left the configuration in the middle of a pass.
var errGone = errors.New("the switch was taken out of the configuration")

// errNotOurs says that the fence stopped a write: another process owns the switch, or nobody knows.
var errNotOurs = errors.New("not written")

// soon is when something is tried again that failed for no fault of the switch.
const soon = 2 * time.Second

// health is what others may see of a worker.
type health struct {
	state    string
	message  string
	retryAt  time.Time
	lastRead time.Time
}

func newWorker(e *Engine, name string) *worker {
	return &worker{
		engine: e, name: name, log: e.log.With().Str("switch", name).Logger(),
		wake: make(chan struct{}, 1), asks: make(chan func(context.Context)), done: make(chan struct{}),
		circuit: circuit{pace: e.opt.Backoff}, refused: map[string]trouble{}, drifted: map[string]string{},
		undeleted: map[switchdrivers.VLANID]trouble{}, view: health{state: "unread"},
	}
}

// own takes note of who owns the switch, and looks at it where it is us.
func (w *worker) own(fence Fence) {
	w.mu.Lock()
	w.fence = fence
	w.mu.Unlock()
	w.nudge()
}

func (w *worker) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// reconfigure makes the worker use the new description of its switch.
func (w *worker) reconfigure() {
	w.mu.Lock()
	w.renewed = true
	w.mu.Unlock()
	w.nudge()
}

// pardon makes the next look try everything again that failed before.
func (w *worker) pardon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forced = true
}

// force makes the worker compare the switch now, with everything that failed before tried again.
func (w *worker) force() {
	w.pardon()
	w.nudge()
}

func (w *worker) quit() { close(w.done) }

// ask runs f in the worker's goroutine, between two passes: f may use the driver.
func (w *worker) ask(ctx context.Context, f func(context.Context)) error {
	ran := make(chan struct{})
	select {
	case w.asks <- func(ctx context.Context) { defer close(ran); f(ctx) }:
	case <-w.done:
		return &UnknownError{Kind: "switch", Name: w.name, Hint: "it was just taken out of the configuration"}
	case <-w.engine.ctx.Done():
		return errStopping
	case <-ctx.Done():
		return fmt.Errorf("switch %s is busy with a change: %w", w.name, ctx.Err())
	}
	select {
	case <-ran:
		return nil
	case <-w.engine.ctx.Done():
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *worker) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer w.disconnect()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(w.nextWait(time.Now()))
		look := false
		select {
		case <-ctx.Done():
			return
		case <-w.done:
			return
		case f := <-w.asks:
			f(ctx)
		case <-w.wake:
			look = true
		case <-timer.C:
		}
		w.turn(ctx, look)
	}
}

// nextWait is how long there is nothing to do unless somebody asks.
func (w *worker) nextWait(now time.Time) time.Duration {
	next := now.Add(time.Hour)
	earliest := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	if w.driver != nil {
		earliest(w.usedAt.Add(w.timeouts().Idle))
	}
	earliest(w.soonAt)
	switch {
	case w.dormant:
	case w.circuit.err != nil:
		earliest(w.circuit.until)
	default:
		earliest(w.saveAt)
		earliest(w.pollAt)
		earliest(w.lateAt)
		for _, r := range w.refused {
			earliest(r.until)
		}
	}
	return max(next.Sub(now), 0)
}

func (w *worker) timeouts() switchdrivers.Timeouts {
	w.engine.mu.RLock()
	defer w.engine.mu.RUnlock()
	if sw := w.engine.book.inv.Switch(w.name); sw != nil {
		return sw.Timeouts
	}
	return switchdrivers.Timeouts{Idle: time.Minute}
}

// turn does what is due.
func (w *worker) turn(ctx context.Context, look bool) {
	w.mu.Lock()
	fence, renewed, forced := w.fence, w.renewed, w.forced
	w.renewed, w.forced = false, false
	w.mu.Unlock()
	if renewed || forced {
		w.circuit.reset()
		w.refused, w.undeleted = map[string]trouble{}, map[switchdrivers.VLANID]trouble{}
		look = true
	}
	if renewed || fence == nil {
		w.disconnect()
	}
	now := time.Now()
	if w.dormant = fence == nil; w.dormant {
		w.pollAt, w.saveAt, w.unsavedFrom, w.soonAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		w.owned, w.lateAt = false, time.Time{}
		return
	}
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if !w.owned {
		w.owned, w.lateAt = true, now.Add(w.timeouts().Commit)
	}
	look = look || due(w.soonAt)
	if w.circuit.err != nil {
		look = look || due(w.circuit.until)
	} else {
		if due(w.lateAt) {
			look, w.lateAt = true, time.Time{}
		}
		look = look || due(w.pollAt)
		for port, r := range w.refused {
			if due(r.until) {
				r.until = time.Time{}
				w.refused[port] = r
				look = true
			}
		}
	}
	if look {
		// Whoever of the following wants another look says when: one that is due already would never end.
		w.pollAt, w.soonAt = time.Time{}, time.Time{}
		w.pass(ctx, fence)
	}
	if now = time.Now(); w.circuit.err == nil && due(w.saveAt) {
		w.save(ctx, fence) // also right after a pass: a switch with much to do is saved, too
	}
	if w.driver != nil && !time.Now().Before(w.usedAt.Add(w.timeouts().Idle)) {
		w.disconnect()
	}
}

func (w *worker) goal() *goal {
	w.engine.mu.RLock()
	defer w.engine.mu.RUnlock()
	if w.engine.book.inv.Switch(w.name) == nil {
		return nil
	}
	return w.engine.book.goalOf(w.name)
}

func (w *worker) connect() error {
	if w.driver != nil {
		return nil
	}
	w.engine.mu.RLock()
	sw, platform := w.engine.book.inv.Switch(w.name), w.engine.book.inv.Platform(w.name)
	w.engine.mu.RUnlock()
	if sw == nil {
		return &UnknownError{Kind: "switch", Name: w.name}
	}
	driver, err := platform.Open(*sw, w.engine.opt.Env)
	if err != nil {
		return err
	}
	w.driver, w.usedAt = driver, time.Now()
	return nil
}

func (w *worker) disconnect() {
	if w.driver == nil {
		return
	}
	if err := w.driver.Close(); err != nil {
		w.log.Debug().Err(err).Msg("session ended with an error")
	}
	w.driver = nil
}

func (w *worker) read(ctx context.Context, scope switchdrivers.Scope) (switchdrivers.State, error) {
	if err := w.connect(); err != nil {
		return switchdrivers.State{}, err
	}
	state, err := w.driver.Read(ctx, scope)
	w.usedAt = time.Now()
	if err == nil {
		w.mu.Lock()
		w.view.lastRead = w.usedAt
		w.mu.Unlock()
	}
	if state.Ports == nil {
		state.Ports = map[string]switchdrivers.Port{}
	}
	return state, err
}

func (w *worker) show(state, message string, retryAt time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.view.state, w.view.message, w.view.retryAt = state, message, retryAt
}
