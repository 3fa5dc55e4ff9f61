package events

import (
	"context"
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
