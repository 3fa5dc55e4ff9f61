package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/switchbind/switchbind/portbinding"
)

// work is who owns which switch, and who is told that one is dirty.
//
// Every switch has one subject in a last-value stream and one durable consumer with a pinned client: the server delivers the
// signals of a switch to one process only, the one whose pulls are the newest, until those stop for PinnedTTL. The callback hands the
// signal to the worker and acknowledges at once, because a callback that is busy does not pull, and so loses its pin. The early
// acknowledgement loses nothing: a signal says only "look", and what there is to do stands in the ledger.
//
// A pin alone is found empty after its owner died with nothing left to deliver. So every process looks at all pins a few times in
// their lifetime (steward): a switch that nobody owns is marked dirty, which makes the server choose an owner and wake it.
type work struct {
	js       jetstream.JetStream
	stream   jetstream.Stream
	subjects subjects
	ttl      time.Duration
	sole     bool
	log      zerolog.Logger

	mu      sync.Mutex // guards the fields below; never held while anything is waited for but consumers being made
	core    Core       // nil while not serving
	names   []string   // the switches we may own
	pins    map[string]*pin
	cancel  context.CancelFunc
	stopped chan struct{} // the steward has ended
	kick    chan struct{} // tells the steward to look now
}

var _ portbinding.Signals = (*work)(nil)

// pinGroup is the one priority group that every consumer has.
const pinGroup = "owner"

// The consumer of a switch that is taken out of the configuration goes away by itself after this time without pulls.
const consumerForgotten = 24 * time.Hour

func newWork(b *Bus) *work {
	return &work{
		js: b.js, stream: b.streams.work, subjects: b.subjects, ttl: b.config.PinnedTTL, sole: b.config.Sole, log: b.config.Log,
		pins: map[string]*pin{}, kick: make(chan struct{}, 1),
	}
}

// proofAge is how long a proof of ownership holds: a fraction of the pin's lifetime, so that a proof is long stale before another
// process, which waits out that lifetime, begins to write.
func (w *work) proofAge() time.Duration { return w.ttl / 4 }

// Dirty publishes a signal for each switch. It has no message id: equal signals are meant to follow each other, and the stream
// keeps only the last.
func (w *work) Dirty(ctx context.Context, switches ...string) error {
	messages := make([]*nats.Msg, len(switches))
	for i, name := range switches {
		messages[i] = &nats.Msg{Subject: w.subjects.dirty(name), Data: []byte(name)}
	}
	if err := publishAll(ctx, w.js, messages); err != nil {
		return fmt.Errorf("marking switches dirty: %w", err)
	}
	return nil
}

// start begins to consume for the switches that are set, and to look after the pins.
func (w *work) start(ctx context.Context, core Core) error {
	w.mu.Lock()
	w.core = core
	names := w.names
	w.mu.Unlock()
	if err := w.setSwitches(ctx, names); err != nil {
		w.stop()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	w.mu.Lock()
	w.cancel, w.stopped = cancel, stopped
	w.mu.Unlock()
	go func() {
		defer close(stopped)
		w.steward(ctx)
	}()
	return nil
}

// stop ends all consuming. The pins stay ours until they lapse or are released: the workers may still be writing.
func (w *work) stop() {
	w.mu.Lock()
	cancel, stopped := w.cancel, w.stopped
	w.cancel = nil
	w.mu.Unlock()
	if cancel != nil {
		cancel()
		<-stopped
	}
	w.mu.Lock()
	pins := w.all()
	w.core = nil
	w.mu.Unlock()
	for _, p := range pins {
		p.stop()
	}
}

// release gives up every pin that we hold.
func (w *work) release(ctx context.Context) error {
	w.mu.Lock()
	pins := w.all()
	w.pins = map[string]*pin{}
	w.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(8)
	for _, p := range pins {
		group.Go(func() error {
			p.stop()
			return p.release(ctx)
		})
	}
	return group.Wait()
}

func (w *work) all() []*pin {
	out := make([]*pin, 0, len(w.pins))
	for _, p := range w.pins {
		out = append(out, p)
	}
	return out
}

// setSwitches starts and stops consumers so that there is one for every name.
func (w *work) setSwitches(ctx context.Context, names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	w.mu.Lock()
	w.names = names
	core := w.core
	if core == nil {
		w.mu.Unlock()
		return nil
	}
	var gone, added []*pin
	for name, p := range w.pins {
		if _, listed := slices.BinarySearch(names, name); !listed {
			gone = append(gone, p)
			delete(w.pins, name)
		}
	}
	for _, name := range names {
		if w.pins[name] == nil {
			p := &pin{work: w, core: core, name: name, log: w.log.With().Str("switch", name).Logger()}
			w.pins[name] = p
			added = append(added, p)
		}
	}
	w.mu.Unlock()

	var group errgroup.Group
	group.SetLimit(8)
	for _, p := range gone {
		group.Go(func() error {
			p.stop()
			p.disown()
			return p.release(ctx)
		})
	}
	for _, p := range added {
		group.Go(func() error { return p.start(ctx) })
	}
	err := group.Wait()
	w.lookNow()
	return err
}

func (w *work) lookNow() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// steward looks at every pin, at once and then three times in a pin's lifetime.
func (w *work) steward(ctx context.Context) {
	ticker := time.NewTicker(w.ttl / 3)
	defer ticker.Stop()
	for {
		w.mu.Lock()
		pins := w.all()
		w.mu.Unlock()
		var group errgroup.Group
		group.SetLimit(8)
		var mu sync.Mutex
		var orphans []string
		for _, p := range pins {
			group.Go(func() error {
				if p.look(ctx) {
					mu.Lock()
					orphans = append(orphans, p.name)
					mu.Unlock()
				}
				return nil
			})
		}
		_ = group.Wait() // looks never fail
		if len(orphans) > 0 {
			if err := w.Dirty(ctx, orphans...); err != nil && ctx.Err() == nil {
				w.log.Warn().Err(err).Msg("switches without an owner could not be marked dirty; trying again")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-w.kick:
		}
	}
}

// pin is our side of one switch's consumer.
type pin struct {
	work *work
	core Core
	name string
	log  zerolog.Logger

	tell  sync.Mutex // held while the core is told, so that it hears Wake and Disown in the order they happened
	woken string     // the pin id that the core was last woken under, "" when it was disowned

	mu       sync.Mutex
	consumer jetstream.Consumer
	consume  jetstream.ConsumeContext
	id       string      // the pin the server gave us with the last signal, "" when we know of none
	proven   time.Time   // when the question was asked whose answer proved the pin ours; on the monotonic clock
	from     time.Time   // when we may begin to write
	timer    *time.Timer // wakes the core at from
	stopped  bool
}

func (p *pin) durable() string { return "switch-" + encodeToken(p.name) }

func (p *pin) start(ctx context.Context) error {
	consumer, err := p.work.stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:           p.durable(),
		Description:       "signals for switch " + p.name,
		FilterSubject:     p.work.subjects.dirty(p.name),
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           30 * time.Second,
		MaxAckPending:     8,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		PriorityPolicy:    jetstream.PriorityPolicyPinned,
		PriorityGroups:    []string{pinGroup},
		PinnedTTL:         p.work.ttl,
		InactiveThreshold: consumerForgotten,
	})
	if err != nil {
		return fmt.Errorf("the consumer of the signals for switch %s cannot be made: %w", p.name, err)
	}
	// A pull lasts a third of the pin's lifetime, so two of them may be late before the pin is lost.
	consume, err := consumer.Consume(p.signal, jetstream.PullPriorityGroup(pinGroup), jetstream.PullMaxMessages(2),
		jetstream.PullExpiry(p.work.ttl/3), jetstream.ConsumeErrHandler(p.trouble))
	if err != nil {
		return fmt.Errorf("consuming the signals for switch %s: %w", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		consume.Stop()
		return nil
	}
	p.consumer, p.consume = consumer, consume
	return nil
}

func (p *pin) stop() {
	p.mu.Lock()
	p.stopped = true
	consume := p.consume
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	if consume != nil {
		consume.Stop()
		<-consume.Closed()
	}
	p.tell.Lock() // whoever is telling the core has finished
	defer p.tell.Unlock()
}

// release unpins the consumer if it is pinned to us, so that another process need not wait for the pin to lapse.
func (p *pin) release(ctx context.Context) error {
	p.mu.Lock()
	id, consumer := p.id, p.consumer
	p.id = ""
	p.mu.Unlock()
	if id == "" || consumer == nil {
		return nil
	}
	holder, err := pinHolder(ctx, consumer)
	if err == nil && holder == id {
		err = p.work.stream.UnpinConsumer(ctx, p.durable(), pinGroup)
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("giving up switch %s: %w", p.name, err)
	}
	return nil
}

// signal takes one dirty signal.
func (p *pin) signal(msg jetstream.Msg) {
	id := msg.Headers().Get("Nats-Pin-Id")
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return // not acknowledged: the next owner gets it
	}
	if id != p.id {
		p.id, p.proven, p.from = id, time.Time{}, time.Now()
		// Whoever had the switch before us may be writing on the strength of a proof. The consumer's very first delivery has
		// no predecessor.
		meta, err := msg.Metadata()
		if !p.work.sole && (err != nil || meta.Sequence.Consumer != 1) {
			p.from = p.from.Add(p.work.ttl)
			p.log.Info().Dur("wait", p.work.ttl).Msg("took over the switch; waiting until no earlier owner can be writing")
		}
	}
	wait := time.Until(p.from)
	if wait > 0 {
		if p.timer != nil {
			p.timer.Stop()
		}
		p.timer = time.AfterFunc(wait, p.wake)
	}
	p.mu.Unlock()
	if wait <= 0 {
		p.wake()
	}
	if err := msg.Ack(); err != nil {
		p.log.Debug().Err(err).Msg("a signal could not be acknowledged and will come again")
	}
}

// wake tells the core that there may be work.
func (p *pin) wake() {
	p.tell.Lock()
	defer p.tell.Unlock()
	p.mu.Lock()
	id, stopped := p.id, p.stopped
	p.mu.Unlock()
	if stopped || id == "" {
		return
	}
	p.woken = id
	p.core.Wake(p.name, func(ctx context.Context) error { return p.fence(ctx, id) })
}

// disown tells the core that the switch is no longer ours, if it believes so.
func (p *pin) disown() {
	p.tell.Lock()
	defer p.tell.Unlock()
	if p.woken == "" {
		return
	}
	p.mu.Lock()
	held := p.id
	p.mu.Unlock()
	if held == p.woken && !p.isStopped() {
		return // it came back meanwhile
	}
	p.woken = ""
	p.core.Disown(p.name)
}

func (p *pin) isStopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

// fence says whether the switch is still ours under the given pin. A fresh proof answers at once; otherwise the server is asked,
// and must answer before the proof that its answer is would be stale.
func (p *pin) fence(ctx context.Context, id string) error {
	p.mu.Lock()
	current, proven, consumer := p.id, p.proven, p.consumer
	p.mu.Unlock()
	if current != id {
		return fmt.Errorf("switch %s is no longer owned by this process", p.name)
	}
	if !proven.IsZero() && time.Since(proven) < p.work.proofAge() {
		return nil
	}
	asked := time.Now()
	askCtx, cancel := context.WithTimeout(ctx, p.work.proofAge())
	defer cancel()
	holder, err := pinHolder(askCtx, consumer)
	if err != nil {
		return fmt.Errorf("switch %s: whether this process still owns it could not be verified: %w", p.name, err)
	}
	if !p.learn(id, holder, asked) {
		p.work.lookNow() // the steward tells the core
		return fmt.Errorf("switch %s is owned by another process now, or by none", p.name)
	}
	if time.Since(asked) >= p.work.proofAge() {
		return fmt.Errorf("switch %s: the proof that this process owns it came too late", p.name)
	}
	return nil
}

// learn takes note of who holds the pin, and reports whether it is us under id.
func (p *pin) learn(id, holder string, asked time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id != id {
		return false // a newer signal brought another pin meanwhile
	}
	if holder != id {
		p.id, p.proven = "", time.Time{}
		return false
	}
	p.proven = asked
	return true
}

// look asks who holds the pin, and reports whether nobody does.
func (p *pin) look(ctx context.Context) (orphan bool) {
	p.mu.Lock()
	id, consumer, stopped := p.id, p.consumer, p.stopped
	p.mu.Unlock()
	if stopped {
		return false
	}
	asked := time.Now()
	askCtx, cancel := context.WithTimeout(ctx, p.work.ttl)
	defer cancel()
	var holder string
	err := error(jetstream.ErrConsumerNotFound)
	if consumer != nil {
		holder, err = pinHolder(askCtx, consumer)
	}
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		// Somebody removed it, or it could not be made.
		p.learn(id, "", asked)
		p.disown()
		p.restart(askCtx)
		return true
	case err != nil:
		if ctx.Err() == nil {
			p.log.Debug().Err(err).Msg("the owner of the switch could not be asked for")
		}
		return false
	}
	if id != "" && !p.learn(id, holder, asked) {
		p.log.Warn().Msg("lost the switch: this process did not pull in time, or was cut off")
	}
	p.disown()
	return holder == ""
}

// restart makes the consumer again.
func (p *pin) restart(ctx context.Context) {
	p.mu.Lock()
	consume := p.consume
	p.consume, p.consumer = nil, nil
	p.mu.Unlock()
	if consume != nil {
		consume.Stop()
	}
	if err := p.start(ctx); err != nil && ctx.Err() == nil {
		p.log.Warn().Err(err).Msg("trying again")
	}
}

// trouble hears of everything that goes wrong with pulls. What matters is found by looking.
func (p *pin) trouble(_ jetstream.ConsumeContext, err error) {
	if errors.Is(err, jetstream.ErrPinIDMismatch) || errors.Is(err, jetstream.ErrConsumerDeleted) {
		p.work.lookNow()
		return
	}
	p.log.Debug().Err(err).Msg("pulling signals")
}

// pinHolder asks the server which pin the consumer has now, "" for none.
func pinHolder(ctx context.Context, consumer jetstream.Consumer) (string, error) {
	info, err := consumer.Info(ctx)
	if err != nil {
		return "", err
	}
	for _, group := range info.PriorityGroups {
		if group.Group == pinGroup {
			return group.PinnedClientID, nil
		}
	}
	return "", nil
}
