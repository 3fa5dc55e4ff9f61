package events

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/switchbind/switchbind/portbinding"
)

// drain takes every wake that has arrived, and returns the last.
func drain(c chan wakeCall) (last wakeCall, n int) {
	for {
		select {
		case last = <-c:
			n++
		default:
			return last, n
		}
	}
}

func askFence(t testing.TB, fence portbinding.Fence) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return fence(ctx)
}

func TestADirtySwitchWakesItsWorker(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{Sole: true})
	core := newFakeCore()
	stop := serve(t, b, core, "leaf1", "leaf.2")
	// A start wakes every switch, because nobody owns it yet.
	seen := map[string]portbinding.Fence{}
	for len(seen) < 2 {
		w := within(t, "wake", core.woken)
		seen[w.name] = w.fence
	}
	for name, fence := range seen {
		if err := askFence(t, fence); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Signals().Dirty(t.Context(), "leaf.2", "unknown"); err != nil {
		t.Fatal(err)
	}
	// A start may mark a switch twice, before the first signal has made us its owner: that wake may still be on its way.
	for within(t, "wake", core.woken).name != "leaf.2" {
	}
	// Signals are acknowledged: nothing comes again, and the backlog is empty.
	eventually(t, "no backlog", func() bool {
		c, err := b.streams.work.Consumer(t.Context(), "switch-leaf=2E2")
		return err == nil && c.CachedInfo().NumAckPending == 0 && c.CachedInfo().NumPending == 0
	})
	stop()
	if len(core.disowned) != 0 {
		t.Errorf("disowned %s", <-core.disowned)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// After Close the fence is shut.
	if err := askFence(t, seen["leaf1"]); err == nil {
		t.Error("the fence lets through after the switch was given up")
	}
}

func TestSignalsCoalesceWhileNobodyListens(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{Sole: true})
	for range 20 {
		if err := b.Signals().Dirty(t.Context(), "leaf1"); err != nil {
			t.Fatal(err)
		}
	}
	core := newFakeCore()
	serve(t, b, core, "leaf1")
	within(t, "wake", core.woken)
	if info, err := b.streams.work.Info(t.Context()); err != nil || info.State.Msgs != 1 {
		t.Errorf("%d signals are kept (%v)", info.State.Msgs, err)
	}
	// At most the stored signal and the one of the steward, which may have found no owner yet.
	eventually(t, "no backlog", func() bool {
		c, err := b.streams.work.Consumer(t.Context(), "switch-leaf1")
		return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	})
	if _, more := drain(core.woken); more > 1 {
		t.Errorf("woken %d times more", more)
	}
}

func TestSwitchesComeAndGoWhileServing(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{Sole: true})
	core := newFakeCore()
	serve(t, b, core, "leaf1")
	first := within(t, "wake", core.woken)
	if err := b.SetSwitches(t.Context(), []string{"leaf2"}); err != nil {
		t.Fatal(err)
	}
	if name := within(t, "disown", core.disowned); name != "leaf1" {
		t.Errorf("disowned %s", name)
	}
	if err := askFence(t, first.fence); err == nil {
		t.Error("the fence of a switch that was given up lets through")
	}
	for {
		if w := within(t, "wake", core.woken); w.name == "leaf2" {
			break
		}
	}
	if err := b.SetSwitches(t.Context(), []string{"leaf2", "leaf1"}); err != nil {
		t.Fatal(err)
	}
	for {
		if w := within(t, "wake", core.woken); w.name == "leaf1" {
			if err := askFence(t, w.fence); err != nil {
				t.Error(err)
			}
			break
		}
	}
}

func TestASwitchHasOneOwnerAndMovesWhenItDies(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	// Two processes; the second connection is cut instead of closed, later.
	config := Config{PinnedTTL: 3 * time.Second}
	connA, connB := dial(t, e), dial(t, e)
	a, b := openBus(t, connA, config), openBus(t, connB, config)
	coreA, coreB := newFakeCore(), newFakeCore()
	serve(t, a, coreA, "leaf1")
	owner := within(t, "wake of the first", coreA.woken)
	serve(t, b, coreB, "leaf1")
	for range 5 {
		if err := b.Signals().Dirty(t.Context(), "leaf1"); err != nil {
			t.Fatal(err)
		}
		within(t, "wake of the owner", coreA.woken)
	}
	if w, n := drain(coreB.woken); n != 0 {
		t.Fatalf("the second was woken, too: %v", w)
	}
	if err := askFence(t, owner.fence); err != nil {
		t.Fatal(err)
	}

	// The owner dies without a word.
	died := time.Now()
	connA.Close()
	next := within(t, "wake of the second", coreB.woken)
	took := time.Since(died)
	t.Logf("the second owner was woken %v after the first died", took)
	if took < config.PinnedTTL {
		t.Errorf("it was woken after %v, before an earlier owner's pin had lapsed", took)
	}
	if err := askFence(t, owner.fence); err == nil {
		t.Error("the dead owner's fence lets through")
	}
	if err := askFence(t, next.fence); err != nil {
		t.Error(err)
	}
}

func TestAnOwnerThatIsCutOffFindsItsFenceShut(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	config := Config{PinnedTTL: 3 * time.Second}
	connect := func() *nats.Conn {
		c, err := Connect(t.Context(), ConnectOptions{URLs: []string{e.URL()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	a, b := openBus(t, connect(), config), openBus(t, dial(t, e), config)
	coreA, coreB := newFakeCore(), newFakeCore()
	serve(t, a, coreA, "leaf1")
	owner := within(t, "wake of the first", coreA.woken)
	if err := askFence(t, owner.fence); err != nil {
		t.Fatal(err)
	}
	// Somebody takes the pin away, as the server does when pulls stop; the other one is faster.
	serve(t, b, coreB, "leaf1")
	a.work.mu.Lock()
	p := a.work.pins["leaf1"]
	a.work.mu.Unlock()
	p.mu.Lock()
	p.consume.Stop()
	p.mu.Unlock()
	next := within(t, "wake of the second", coreB.woken)
	if err := askFence(t, owner.fence); err == nil {
		t.Error("the fence lets through though the pin is gone")
	}
	if name := within(t, "disown", coreA.disowned); name != "leaf1" {
		t.Errorf("disowned %s", name)
	}
	if err := askFence(t, next.fence); err != nil {
		t.Error(err)
	}
	drain(coreA.woken) // from before
	drain(coreB.woken)
	if err := a.Signals().Dirty(t.Context(), "leaf1"); err != nil {
		t.Fatal(err)
	}
	within(t, "wake of the new owner", coreB.woken)
	if _, n := drain(coreA.woken); n != 0 {
		t.Error("the first was woken after it lost the switch")
	}
}

func TestGivingUpASwitchLetsTheNextOneTakeIt(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	config := Config{PinnedTTL: 4 * time.Second}
	a, b := openBus(t, dial(t, e), config), openBus(t, dial(t, e), config)
	coreA, coreB := newFakeCore(), newFakeCore()
	stopA := serve(t, a, coreA, "leaf1")
	within(t, "wake of the first", coreA.woken)
	serve(t, b, coreB, "leaf1")
	stopA()
	released := time.Now()
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := within(t, "wake of the second", coreB.woken)
	// The server gives it away at once, but the second cannot know that the first went in order.
	if took := time.Since(released); took < config.PinnedTTL || took > 2*config.PinnedTTL {
		t.Errorf("the second was woken %v after the first gave the switch up, want one lifetime of %v", took, config.PinnedTTL)
	}
	if err := askFence(t, next.fence); err != nil {
		t.Error(err)
	}
}

func TestAFenceWithoutAServerIsShut(t *testing.T) {
	t.Parallel()
	e := startServer(t)
	b := openBus(t, dial(t, e), Config{PinnedTTL: 3 * time.Second})
	core := newFakeCore()
	serve(t, b, core, "leaf1")
	w := within(t, "wake", core.woken)
	if err := askFence(t, w.fence); err != nil {
		t.Fatal(err)
	}
	e.Shutdown()
	eventually(t, "a shut fence", func() bool { return askFence(t, w.fence) != nil })
}

func TestAConsumerThatSomebodyRemovedIsMadeAgain(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{Sole: true})
	core := newFakeCore()
	serve(t, b, core, "leaf1")
	w := within(t, "wake", core.woken)
	if err := askFence(t, w.fence); err != nil {
		t.Fatal(err)
	}
	if err := b.streams.work.DeleteConsumer(t.Context(), "switch-leaf1"); err != nil {
		t.Fatal(err)
	}
	within(t, "disown", core.disowned)
	for { // a signal from before may still have been on its way
		if again := within(t, "wake", core.woken); askFence(t, again.fence) == nil {
			break
		}
	}
	if err := askFence(t, w.fence); err == nil {
		t.Error("the old fence lets through")
	}
}

// A pin is held by pulls: an idle switch stays ours for many lifetimes.
func TestAnIdleOwnerKeepsItsSwitch(t *testing.T) {
	t.Parallel()
	b := openBus(t, dial(t, startServer(t)), Config{PinnedTTL: 3 * time.Second})
	core := newFakeCore()
	serve(t, b, core, "leaf1")
	w := within(t, "wake", core.woken)
	drain(core.woken)
	select {
	case name := <-core.disowned:
		t.Errorf("lost %s while idle", name)
	case <-time.After(7 * time.Second):
	}
	if err := askFence(t, w.fence); err != nil {
		t.Error(err)
	}
	if _, n := drain(core.woken); n > 1 {
		t.Errorf("woken %d times while idle", n)
	}
}

// The callback of a signal must return though the core's worker is busy for long: a busy callback does not pull.
func TestFenceIsAnsweredFromAFreshProof(t *testing.T) {
	e := startServer(t)
	b := openBus(t, dial(t, e), Config{PinnedTTL: time.Minute})
	core := newFakeCore()
	serve(t, b, core, "leaf1")
	w := within(t, "wake", core.woken)
	if err := askFence(t, w.fence); err != nil {
		t.Fatal(err)
	}
	e.Shutdown() // the proof of a moment ago still holds
	if err := askFence(t, w.fence); err != nil {
		t.Errorf("a fresh proof was not enough: %v", err)
	}
	// An old one does not.
	b.work.mu.Lock()
	p := b.work.pins["leaf1"]
	b.work.mu.Unlock()
	p.mu.Lock()
	p.proven = p.proven.Add(-b.work.proofAge())
	p.mu.Unlock()
	if err := askFence(t, w.fence); err == nil {
		t.Error("a stale proof was enough")
	}
}

func BenchmarkFence(b *testing.B) {
	bus := openBus(b, dial(b, startServer(b)), Config{Sole: true})
	core := newFakeCore()
	serve(b, bus, core, "leaf1")
	w := within(b, "wake", core.woken)
	bus.work.mu.Lock()
	p := bus.work.pins["leaf1"]
	bus.work.mu.Unlock()
	for b.Loop() {
		p.mu.Lock()
		p.proven = time.Time{} // ask the server each time
		p.mu.Unlock()
		if err := w.fence(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDirtyToWake(b *testing.B) {
	bus := openBus(b, dial(b, startServer(b)), Config{Sole: true})
	core := newFakeCore()
	serve(b, bus, core, "leaf1")
	within(b, "wake", core.woken)
	for b.Loop() {
		drain(core.woken)
		if err := bus.Signals().Dirty(b.Context(), "leaf1"); err != nil {
			b.Fatal(err)
		}
		<-core.woken
	}
}
