package portbinding

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/switchbind/switchbind/switchdrivers"
)

// Options are what an engine is made of.
type Options struct {
	Inventory *switchdrivers.Inventory
	Ledger    Ledger
	Outbox    Outbox
	Signals   Signals
	Log       zerolog.Logger
	Env       switchdrivers.Environment
	// DryRun does everything but write to switches.
	DryRun bool
	// AcceptLosses lets a start go on although the configuration would cut off bindings that are in force. Without it such a start
	// is refused: a slip in the configuration must not unbind a rack.
	AcceptLosses bool
	// Snapshot limits what a snapshot may remove without being asked again.
	Snapshot SnapshotPolicy
	// Retention is how long an entry that was deleted and verified out is remembered, so that a late message about it is known to
	// be late. It must be longer than messages are kept. 0 is 30 days.
	Retention time.Duration
	// Backoff paces retries of a switch that fails. The zero value has sensible defaults.
	Backoff Backoff
}

// Engine is the core at work: it keeps the book of what is wanted, has one worker for each switch, and tells the outbox what was
// verified. All methods are safe for concurrent use.
type Engine struct {
	opt Options
	log zerolog.Logger

	// write serialises every change of the book, from the decision through the ledger to memory, so that memory never knows
	// anything that the ledger does not. mu guards the book itself and is never held over I/O.
	write sync.Mutex
	mu    sync.RWMutex
	book  *book
	last  time.Time // the newest time given out, guarded by write
	// owed are switches that could not be marked dirty although the ledger was changed; the next commit does it. Guarded by write.
	owed map[string]bool

	workers map[string]*worker      // guarded by mu
	held    map[string]heldSnapshot // by source, guarded by mu
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New returns an engine. Nothing happens before [Engine.Start].
func New(opt Options) (*Engine, error) {
	if opt.Inventory == nil || opt.Ledger == nil || opt.Outbox == nil || opt.Signals == nil {
		return nil, errors.New("portbinding: inventory, ledger, outbox and signals are needed")
	}
	if opt.Retention == 0 {
		opt.Retention = 30 * 24 * time.Hour
	}
	opt.Backoff = opt.Backoff.withDefaults()
	opt.Snapshot = opt.Snapshot.withDefaults()
	return &Engine{opt: opt, log: opt.Log, book: newBook(opt.Inventory), workers: map[string]*worker{}, held: map[string]heldSnapshot{}}, nil
}

// Start loads the ledger, starts a worker for each switch, and marks every switch dirty: whatever was unfinished is taken up, and
// every switch is compared once. It returns before that is done.
func (e *Engine) Start(ctx context.Context) error {
	entries, records, err := e.opt.Ledger.Load(ctx)
	if err != nil {
		return fmt.Errorf("the ledger cannot be read: %w", err)
	}
	e.ctx, e.stop = context.WithCancel(context.Background())
	e.write.Lock()
	defer e.write.Unlock()
	e.mu.Lock()
	for _, r := range records {
		e.book.records[r.Name] = r
	}
	for _, entry := range entries {
		e.book.put(entry)
		// Claims are ordered by time: a clock that was set back meanwhile must not put a newcomer before a holder.
		e.after(entry)
	}
	for _, name := range e.book.inv.Names() {
		e.startWorker(name)
	}
	e.mu.Unlock()
	if faults := e.losses(e.book.inv); len(faults) > 0 {
		if !e.opt.AcceptLosses {
			e.stop()
			return &LossError{faults}
		}
		e.log.Warn().Strs("losses", faults).Msg("the configuration cuts off bindings that were in force")
	}
	if len(entries) == 0 && len(records) == 0 {
		if err := e.gateNewLedger(ctx); err != nil {
			return err
		}
	}
	// The configuration may say something else than when the entries were stored.
	if _, err := e.commit(ctx, e.resettle(e.book)); err != nil {
		return err
	}
	e.running.Go(e.janitor)
	return e.opt.Signals.Dirty(ctx, e.book.inv.Names()...)
}

// gateNewLedger marks every switch as one that must be read before the first write anywhere near it.
func (e *Engine) gateNewLedger(ctx context.Context) error {
	var t transaction
	for _, name := range e.book.inv.Names() {
		t.records = append(t.records, &SwitchRecord{Name: name, Gating: true})
	}
	_, err := e.commit(ctx, t)
	return err
}

// startWorker is called with mu held.
func (e *Engine) startWorker(name string) {
	w := newWorker(e, name)
	e.workers[name] = w
	e.running.Go(func() { w.run(e.ctx) })
}

// Close stops the workers: a change under way is finished or given up within its timeout, nothing new is begun.
func (e *Engine) Close() {
	if e.stop != nil {
		e.stop()
	}
	e.running.Wait()
}

// Wake tells the worker of a switch that there may be work, and that this process owns the switch as long as fence says so.
func (e *Engine) Wake(name string, fence Fence) {
	if w := e.worker(name); w != nil {
		w.own(fence)
	}
}

// Disown tells the worker of a switch that another process owns it.
func (e *Engine) Disown(name string) {
	if w := e.worker(name); w != nil {
		w.own(nil)
	}
}

func (e *Engine) worker(name string) *worker {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.workers[name]
}

// after makes every time given out from now on later than the entry's claims. The caller holds write.
func (e *Engine) after(entry *Entry) {
	for _, c := range entry.Claims {
		if c.Since.After(e.last) {
			e.last = c.Since
		}
		for _, v := range c.VLANs {
			if v.Since.After(e.last) {
				e.last = v.Since
			}
		}
	}
}

// now returns the present time, later than every time it returned before: it orders claims. The caller holds write.
func (e *Engine) now() time.Time {
	t := time.Now().UTC()
	if !t.After(e.last) {
		t = e.last.Add(time.Nanosecond)
	}
	e.last = t
	return t
}

// transaction is one change of the book.
type transaction struct {
	entries []*Entry        // replace those in the book; stored first
	memory  []*Entry        // replace those in the book; not worth a write
	records []*SwitchRecord // likewise for switches
	results []Result
	dirty   map[string]bool // switches to look at again
	// inventory, where it is set, comes into force together with what follows from it.
	inventory *switchdrivers.Inventory
}

func (t *transaction) mark(names map[string]bool) {
	if t.dirty == nil {
		t.dirty = map[string]bool{}
	}
	maps.Copy(t.dirty, names)
}

// commit publishes the results, stores, and then changes memory. The caller holds write. Results go first: a crash between the two
// repeats a result, the other order would lose one. It returns the switches that must look again; they have been told.
func (e *Engine) commit(ctx context.Context, t transaction) (map[string]bool, error) {
	dirty, err := e.keep(ctx, t)
	if err != nil {
		return dirty, fmt.Errorf("%w: %w", errNotKept, err)
	}
	return dirty, nil
}

// errNotKept says that the ledger, the outbox or the signals failed: no switch is to blame.
var errNotKept = errors.New("not kept")

// keepTime bounds what is waited for the ledger, the outbox and the signals together.
const keepTime = 30 * time.Second

func (e *Engine) keep(ctx context.Context, t transaction) (map[string]bool, error) {
	// Everything waits for this: a NATS server that hangs must not hold us for ever.
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	if len(t.results) > 0 {
		if err := e.opt.Outbox.Results(ctx, t.results...); err != nil {
			return nil, fmt.Errorf("results cannot be published: %w", err)
		}
	}
	if len(t.entries) > 0 {
		versions, err := e.opt.Ledger.Put(ctx, t.entries...)
		if err != nil {
			return nil, e.afterFailedPut(ctx, t, err)
		}
		for i := range t.entries {
			t.entries[i].Version = versions[i]
		}
	}
	for _, r := range t.records {
		version, err := e.opt.Ledger.PutSwitch(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("the ledger cannot be written: %w", err)
		}
		r.Version = version
	}
	e.mu.Lock()
	if t.inventory != nil {
		e.book.inv = t.inventory
		e.book.reindex()
	}
	dirty := map[string]bool{}
	maps.Copy(dirty, e.owed)
	maps.Copy(dirty, t.dirty)
	for _, entry := range t.entries {
		before := e.book.facts[entry.PortID]
		was := e.book.entries[entry.PortID]
		e.book.put(entry)
		if was == nil || released(was, entry) {
			e.book.waitersOn(entry.PortID, before, dirty)
		}
	}
	for _, entry := range t.memory {
		e.book.put(entry)
	}
	for _, r := range t.records {
		e.book.putRecord(r)
	}
	for name := range dirty {
		if e.book.inv.Switch(name) == nil {
			delete(dirty, name)
		}
	}
	e.mu.Unlock()
	if len(dirty) > 0 {
		if err := e.opt.Signals.Dirty(ctx, slices.Sorted(maps.Keys(dirty))...); err != nil {
			e.owed = dirty
			return dirty, fmt.Errorf("switches cannot be marked dirty: %w", err)
		}
	}
	e.owed = nil
	for _, r := range t.results {
		e.logResult(r)
	}
	return dirty, nil
}

// released reports whether an entry gave up a switch port or a hold, so that others may proceed.
func released(was, is *Entry) bool {
	at := map[switchPort]int{}
	for _, c := range is.Claims {
		at[switchPort{c.Switch, c.Port}]++
	}
	for _, c := range was.Claims {
		if at[switchPort{c.Switch, c.Port}] == 0 {
			return true
		}
	}
	held := 0
	for _, h := range was.Leaving {
		held += len(h.VLANs)
	}
	for _, h := range is.Leaving {
		held -= len(h.VLANs)
	}
	return held > 0
}

// afterFailedPut brings memory in step with the ledger again: some of the entries may have been stored.
func (e *Engine) afterFailedPut(ctx context.Context, t transaction, cause error) error {
	for _, entry := range t.entries {
		stored, err := e.opt.Ledger.Get(ctx, entry.PortID)
		if err != nil {
			break // the next write conflicts, and leads here again
		}
		e.mu.Lock()
		if stored != nil {
			e.book.put(stored)
		}
		e.mu.Unlock()
	}
	return fmt.Errorf("the ledger cannot be written: %w", cause)
}

func (e *Engine) logResult(r Result) {
	event := e.log.Info()
	if r.Status == StatusFailed || r.Status == StatusRefused {
		event = e.log.Warn()
	}
	event = event.Str("port", r.PortID).Int64("revision", r.Revision).Str("status", string(r.Status)).Int64("duration_ms", r.DurationMS)
	if r.Reason != ReasonNone {
		event = event.Str("reason", string(r.Reason))
	}
	var where []string
	for _, l := range r.Links {
		where = append(where, l.Switch+"/"+l.Port)
	}
	event.Strs("links", where).Msg(r.Message)
}

// Accept takes newly arrived bindings, in the order of the stream. See events.Core for the contract.
func (e *Engine) Accept(ctx context.Context, messages []Message) []error {
	e.write.Lock()
	defer e.write.Unlock()
	faults := make([]error, len(messages))
	staged := map[string]*Entry{}
	var order []string
	var t transaction
	for i, m := range messages {
		old := staged[m.Binding.PortID]
		if old == nil {
			e.mu.RLock()
			old = e.book.entries[m.Binding.PortID]
			e.mu.RUnlock()
		}
		next, v, err := merge(old, m)
		if err != nil {
			faults[i] = err
			continue
		}
		if v == ignored {
			e.log.Debug().Str("port", m.Binding.PortID).Int64("revision", m.Binding.Revision).Msg("late or repeated message ignored")
			continue
		}
		e.adopt(e.book, next, v, &t)
		if staged[next.PortID] == nil {
			order = append(order, next.PortID)
		}
		staged[next.PortID] = next
	}
	for _, id := range order {
		t.entries = append(t.entries, staged[id])
	}
	if _, err := e.commit(ctx, t); err != nil {
		for i := range faults {
			if faults[i] == nil {
				faults[i] = err
			}
		}
	}
	return faults
}

// adopt draws the consequences of a verdict for an entry: claims, holds, the answer that can be given at once, and the switches
// that have to look. b is the book, or one with the inventory that is about to come into force.
func (e *Engine) adopt(b *book, entry *Entry, v verdict, t *transaction) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	now := e.now()
	done := entry.Finished && entry.Answer.Status != ""
	switch v {
	case changed:
		entry.Accepted, entry.Attempts, entry.Settled, entry.Verified = now, 0, false, nil
		b.settle(entry, now)
		entry.question()
	case again, updated:
		answered := entry.Answer
		entry.question()
		if done {
			entry.Finished = true
			if answered.Status == StatusRefused {
				entry.Finished = false // the configuration may have changed: look again
			}
		}
	}
	f := b.derive(entry)
	if (f.refusal != nil && v != ignored) || (entry.Effective() == nil && len(entry.Leaving) == 0) || entry.Finished {
		if r := entry.answer(f, now); r != nil {
			t.results = append(t.results, *r)
		}
	}
	if !entry.Finished || v == changed {
		names := map[string]bool{}
		for _, a := range slices.Concat(f.attachments, f.leaving) {
			names[a.at.sw] = true
		}
		t.mark(names)
	}
}

// settle works out an entry's claims under the book's inventory.
func (b *book) settle(entry *Entry, now time.Time) {
	var claims []attachment
	if layer := entry.Effective(); layer != nil {
		claims, _ = resolve(layer.Binding, b.inv)
	}
	entry.settle(claims, now, b.retired)
	entry.Links = slices.DeleteFunc(entry.Links, func(l LinkResult) bool { return true })
	for _, a := range claims {
		entry.Links = append(entry.Links, LinkResult{Switch: a.at.sw, Port: a.at.port, Status: StatusPending, Reason: ReasonQueued})
	}
}

// Reject answers a binding that could not even be decoded.
func (e *Engine) Reject(ctx context.Context, m Message, fault *InvalidError) error {
	return e.opt.Outbox.Results(ctx, Result{PortID: m.Binding.PortID, Source: m.Source, RequestID: m.RequestID,
		Revision: m.Binding.Revision, Digest: m.Binding.Digest, Status: StatusRefused, Reason: ReasonInvalidEvent,
		Message: fault.Error(), Links: []LinkResult{}})
}
