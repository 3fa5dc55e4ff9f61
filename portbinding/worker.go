package portbinding

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	soonAt      time.Time // another look is due then, whatever the circuit says: what was found out could not be told
	usedAt      time.Time
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

// force makes the worker compare the switch now.
func (w *worker) force() {
	w.mu.Lock()
	w.forced = true
	w.mu.Unlock()
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
		return
	}
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	look = look || due(w.soonAt)
	if w.circuit.err != nil {
		look = look || due(w.circuit.until)
	} else {
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

// pass brings the switch from what it is to what it should be, once: read, compare, apply, read back, report.
func (w *worker) pass(ctx context.Context, fence Fence) {
	g := w.goal()
	if g == nil {
		return
	}
	now := time.Now()
	if w.dormant = g.record.Paused != nil; w.dormant {
		w.show("paused", g.record.Paused.Because, time.Time{})
		w.disconnect()
		w.report(ctx, g, allPorts(g, outcome{StatusPending, ReasonPaused, fmt.Sprintf("switch %s was paused by %s: %s; resume it with `switchbind resume %s`",
			w.name, g.record.Paused.By, g.record.Paused.Because, w.name), nil}), nil, false)
		return
	}
	if w.circuit.open(now) {
		w.report(ctx, g, allPorts(g, troubled(w.circuit.err)), nil, false)
		return
	}
	w.show("working", "", time.Time{})
	if err := w.work(ctx, g, fence); err != nil {
		w.fail(ctx, err)
		return
	}
	w.circuit.succeed()
	w.show("ok", "", time.Time{})
	if w.saveAt.IsZero() && w.unsaved() && !g.sw.Save.Never {
		w.saveAt = time.Now().Add(g.sw.Save.After) // left over from before a restart, or from a save that failed
	}
	if poll := g.sw.Timeouts.Poll; poll > 0 {
		w.pollAt = time.Now().Add(poll)
	}
}

// fail drops the session, opens the circuit, and tells every binding that waits for this switch.
func (w *worker) fail(ctx context.Context, err error) {
	w.disconnect()
	if ctx.Err() != nil || errors.Is(err, errGone) {
		return // we are stopping: nothing is known, the next start looks again
	}
	if errors.Is(err, errNotOurs) {
		// It is not for us to say anything about the switch. If it is ours after all, nobody else wakes us.
		w.circuit.succeed() // the switch itself answered
		w.show("not-owned", err.Error(), time.Time{})
		w.soonAt = time.Now().Add(soon)
		return
	}
	if errors.Is(err, errNotKept) {
		w.log.Error().Err(err).Msg("nothing is written to a switch while the ledger cannot be")
		w.circuit.succeed() // the switch itself answered
		w.show("not-kept", err.Error(), time.Time{})
		w.soonAt = time.Now().Add(soon)
		return
	}
	w.circuit.fail(err, time.Now())
	w.show(string(reasonOf(err)), err.Error(), w.circuit.until)
	w.log.Warn().Err(err).Time("retry_at", w.circuit.until).Msg("switch cannot be worked with")
	if g := w.goal(); g != nil {
		w.report(ctx, g, allPorts(g, troubled(err)), nil, true)
	}
}

func allPorts(g *goal, o outcome) map[string]outcome {
	all := map[string]outcome{}
	for name := range g.ports {
		all[name] = o
	}
	return all
}

// work does a pass against the switch. A nil error means that the switch was worked with, not that every port is good.
func (w *worker) work(ctx context.Context, g *goal, fence Fence) error {
	scope := g.scope()
	actual, err := w.read(ctx, scope)
	if err != nil {
		return err
	}
	if err := w.study(ctx, g, actual); err != nil {
		return err
	}
	// Logging in and reading take their time: what arrived meanwhile is part of this change, not of another one. And what was read
	// may have shown that other ports matter: links that lead to a LAG.
	if g = w.goal(); g == nil {
		return errGone
	}
	if g.record.Paused != nil {
		w.nudge() // somebody paused the switch meanwhile; the next pass says so
		return nil
	}
	if !g.readBy(scope) {
		if actual, err = w.read(ctx, g.scope()); err != nil {
			return err
		}
	}
	p := planFor(g, actual, w.aside(g))
	w.tellDrift(ctx, g, p.drift)
	change, caught := guard(p.change, g)
	for port, no := range caught {
		w.log.Error().Str("switch_port", port).Str("reason", string(no.reason)).Msg("the guard stopped a change: " + no.message)
		p.blocked[port] = no
	}
	change.Delete = slices.DeleteFunc(change.Delete, func(v switchdrivers.VLANChange) bool { return time.Now().Before(w.undeleted[v.ID].until) })
	if change.IsEmpty() || w.engine.opt.DryRun {
		return w.conclude(ctx, g, p, actual, nil, change)
	}
	if err := w.intend(ctx, g, change); err != nil {
		return err
	}
	begun := time.Now()
	a := &applier{driver: w.driver, fence: fence, most: g.sw.Limits.PortsPerChange, refused: map[string]error{}, vlans: map[switchdrivers.VLANID]error{}}
	err = a.apply(ctx, change)
	w.usedAt = time.Now()
	if err != nil {
		return err
	}
	if g.traits.NeedsSave && !g.sw.Save.Never {
		w.putOffSave(g.sw.Save.After)
	}
	retreat := w.setAside(g, change, a)
	if actual, err = w.readBack(ctx, g, actual); err != nil {
		return err
	}
	if err := w.disclaim(ctx, actual); err != nil {
		return err
	}
	w.log.Info().Int("ports", len(change.Ports)).Int("vlans", len(change.VLANs)+len(change.Delete)).Int("refused", len(a.refused)).
		Dur("took", time.Since(begun)).Msg("switch changed and read back")
	if retreat {
		// What was refused goes back to idle at once, so that nobody stays in a former tenant's VLAN.
		w.nudge()
	}
	return w.conclude(ctx, g, p, actual, a.refused, switchdrivers.Change{})
}

// readBack reads what the goal is about once more and lays it over what was known.
func (w *worker) readBack(ctx context.Context, g *goal, before switchdrivers.State) (switchdrivers.State, error) {
	scope := switchdrivers.Scope{}
	for name := range g.ports {
		scope.Ports = append(scope.Ports, name)
	}
	after, err := w.read(ctx, scope)
	if err != nil {
		return switchdrivers.State{}, err
	}
	merged := before.Clone()
	merged.VLANs, merged.LAGs = after.VLANs, after.LAGs
	for _, name := range scope.Ports {
		if port, ok := after.Ports[name]; ok {
			merged.Ports[name] = port
		} else {
			delete(merged.Ports, name)
		}
	}
	return merged, nil
}

// conclude judges every port and reports.
func (w *worker) conclude(ctx context.Context, g *goal, p plan, actual switchdrivers.State, refused map[string]error, unsent switchdrivers.Change) error {
	outcomes := map[string]outcome{}
	for name, pg := range g.ports {
		o := judge(g, pg, actual)
		switch no := p.blocked[name]; {
		case o.ok():
		case no != nil:
			o = blocked(no, actual)
		case refused[name] != nil:
			o.status, o.reason, o.message = StatusFailed, reasonOf(refused[name]), refused[name].Error()
		default:
			if r, was := w.refused[name]; was && r.refused && r.want.SameForwarding(pg.want) {
				o.status, o.reason, o.message = StatusFailed, reasonOf(r.err), r.err.Error()
			}
		}
		outcomes[name] = o
	}
	wishes := map[string]string{}
	for _, pc := range unsent.Ports {
		if have, ok := actual.Ports[pc.Name]; ok && w.engine.opt.DryRun && !pc.From.SameForwarding(pc.To) {
			outcomes[pc.Name] = outcome{StatusPending, ReasonDryRun, fmt.Sprintf("would change %s/%s from %q to %q: see `switchbind plan %s`",
				w.name, pc.Name, pc.From, pc.To, w.name), &have}
			if wishes[pc.Name] = outcomes[pc.Name].message; wishes[pc.Name] == w.wishes[pc.Name] {
				continue
			}
			w.log.Info().Str("switch_port", pc.Name).Stringer("from", pc.From).Stringer("to", pc.To).Str("because", pc.Reason).Msg("dry run: would change")
		}
	}
	w.wishes = wishes
	w.report(ctx, g, outcomes, &actual, !unsent.IsEmpty() || refused != nil)
	w.retryMismatches(outcomes, g)
	return nil
}

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

// disclaim gives up VLANs that we created and that do not exist any more, and reports whether there were any: who makes them anew
// owns them, and we must not delete them.
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

func (w *worker) goal() *goal {
	w.engine.mu.RLock()
	defer w.engine.mu.RUnlock()
	if w.engine.book.inv.Switch(w.name) == nil {
		return nil
	}
	return w.engine.book.goalOf(w.name)
}

func (w *worker) unsaved() bool {
	w.engine.mu.RLock()
	defer w.engine.mu.RUnlock()
	return w.engine.book.record(w.name).Unsaved
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
