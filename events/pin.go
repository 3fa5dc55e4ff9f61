package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

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
