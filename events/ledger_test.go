package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

func portNumber(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

var exampleEvent = sync.OnceValue(func() bindingEvent {
	e, err := decodeBinding(neutron, portA, []byte(exampleBinding))
	if err != nil {
		panic(err)
	}
	return e
})

func fullEntry(t testing.TB, port string) *portbinding.Entry {
	t.Helper()
	e := exampleEvent()
	e.Binding.PortID = port
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	observed := switchdrivers.Access(110)
	return &portbinding.Entry{
		PortID:     port,
		Controller: &portbinding.Layer{Source: neutron, Sequence: 17, Received: at, Binding: e.Binding},
		Claims: []portbinding.Claim{{Switch: "leaf1", Port: "Ethernet1", Since: at,
			VLANs: []portbinding.HeldVLAN{{VLAN: 110, PhysicalNetwork: "physnet1", NetworkID: "n"}}}},
		Leaving: []portbinding.Hold{{Switch: "leaf2", Port: "Ethernet9", Since: at,
			VLANs: []portbinding.HeldVLAN{{VLAN: 111, PhysicalNetwork: "physnet1"}}}},
		Links:  []portbinding.LinkResult{{Switch: "leaf1", Port: "Ethernet1", Status: portbinding.StatusBound, Observed: &observed}},
		Answer: portbinding.Answer{Revision: 3, Digest: "d", Status: portbinding.StatusBound}, Attempts: 1, Accepted: at, Verified: &at, Updated: at,
	}
}

func TestTheLedgerGivesBackWhatItWasGiven(t *testing.T) {
	l := openBus(t, dial(t, startServer(t)), Config{}).Ledger()
	ctx := t.Context()
	if entries, records, err := l.Load(ctx); err != nil || len(entries)+len(records) != 0 {
		t.Fatalf("a new ledger has %v %v %v", entries, records, err)
	}
	a, b := fullEntry(t, portA), fullEntry(t, portB)
	versions, err := l.Put(ctx, a, b)
	if err != nil || len(versions) != 2 || versions[0] == versions[1] {
		t.Fatal(versions, err)
	}
	record := &portbinding.SwitchRecord{Name: "leaf.1 in row ü", Surveyed: true, CreatedVLANs: switchdrivers.VLANs(110, 111)}
	if record.Version, err = l.PutSwitch(ctx, record); err != nil {
		t.Fatal(err)
	}
	a.Version, b.Version = versions[0], versions[1]
	entries, records, err := l.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(entries, func(x, y *portbinding.Entry) int { return int(x.Version) - int(y.Version) })
	sets := cmp.Comparer(func(x, y switchdrivers.VLANSet) bool { return x.Equal(y) })
	if diff := cmp.Diff([]*portbinding.Entry{a, b}, entries, sets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]*portbinding.SwitchRecord{record}, records, sets); diff != "" {
		t.Error(diff)
	}
	got, err := l.Get(ctx, portA)
	if diff := cmp.Diff(a, got, sets); err != nil || diff != "" {
		t.Error(err, diff)
	}

	if err := l.Remove(ctx, portA); err != nil {
		t.Fatal(err)
	}
	if err := l.RemoveSwitch(ctx, record.Name); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Get(ctx, portA); got != nil || err != nil {
		t.Errorf("a removed entry is %v %v", got, err)
	}
	if entries, records, err := l.Load(ctx); err != nil || len(entries) != 1 || len(records) != 0 {
		t.Errorf("after removing: %v %v %v", entries, records, err)
	}
	a.Version = 0
	if _, err := l.Put(ctx, a); err != nil {
		t.Errorf("a removed port cannot come back: %v", err)
	}
}

func TestANewerVersionIsAConflict(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	l, ctx := b.Ledger(), t.Context()
	entry := &portbinding.Entry{PortID: portA}
	versions, err := l.Put(ctx, entry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Put(ctx, entry); !errors.Is(err, portbinding.ErrConflict) {
		t.Errorf("storing it as new a second time: %v", err)
	}
	ours, theirs := *entry, *entry
	ours.Version, theirs.Version = versions[0], versions[0]
	if _, err := l.Put(ctx, &theirs); err != nil {
		t.Fatal(err)
	}
	good := &portbinding.Entry{PortID: portB}
	if _, err := l.Put(ctx, good, &ours); !errors.Is(err, portbinding.ErrConflict) {
		t.Errorf("storing over somebody else's version: %v", err)
	}
	if got, _ := l.Get(ctx, portB); got == nil {
		t.Error("the entry without conflict was not stored")
	}
	if _, err := l.PutSwitch(ctx, &portbinding.SwitchRecord{Name: "leaf1", Version: 99}); !errors.Is(err, portbinding.ErrConflict) {
		t.Errorf("a switch record over nothing: %v", err)
	}
	// What a person deleted with the nats command leaves a marker, which is nothing to collide with.
	if err := b.ledger.kv.Delete(ctx, entryKey+portB); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Put(ctx, good); err != nil {
		t.Errorf("storing after a deletion by hand: %v", err)
	}
}

func TestAnUnreadableEntryIsNotSkipped(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	if _, err := b.ledger.kv.Put(t.Context(), entryKey+portA, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Ledger().Load(t.Context()); err == nil {
		t.Error("a ledger with an unreadable entry was loaded")
	}
}

func TestALedgerThatCannotWriteSaysSo(t *testing.T) {
	e := startServer(t)
	conn := dial(t, e)
	b := openBus(t, conn, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	e.Shutdown()
	if _, err := b.Ledger().Put(ctx, &portbinding.Entry{PortID: portA}); err == nil || errors.Is(err, portbinding.ErrConflict) {
		t.Errorf("error is %v", err)
	}
}

func TestResultsAndDriftArePublished(t *testing.T) {
	conn := dial(t, startServer(t))
	b := openBus(t, conn, Config{Instance: "switchbind-7"})
	ctx := t.Context()
	var results []portbinding.Result
	for i := range 700 { // more than may be in flight at once
		results = append(results, portbinding.Result{PortID: portNumber(i), Source: neutron, Status: portbinding.StatusBound, Revision: int64(i)})
	}
	if err := b.Outbox().Results(ctx, results...); err != nil {
		t.Fatal(err)
	}
	if err := b.Outbox().Drift(ctx, portbinding.Drift{Switch: "leaf.1"}); err != nil {
		t.Fatal(err)
	}
	info, err := b.streams.results.Info(ctx)
	if err != nil || info.State.Msgs != 701 {
		t.Fatalf("%d messages are kept (%v)", info.State.Msgs, err)
	}
	first, err := b.streams.results.GetMsg(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	var e envelope
	if err := json.Unmarshal(first.Data, &e); err != nil {
		t.Fatal(err)
	}
	if first.Subject != "switchbind.result."+neutron+"."+portNumber(0) || e.Source != "switchbind-7" || e.Subject != portNumber(0) ||
		first.Header.Get("Nats-Msg-Id") != e.ID || e.Type != TypeResult {
		t.Errorf("%s %v %+v", first.Subject, first.Header, e)
	}
	if m, err := b.streams.results.GetLastMsgForSubject(ctx, "switchbind.drift.leaf=2E1"); err != nil || m == nil {
		t.Errorf("drift: %v", err)
	}
	if err := b.Outbox().Results(ctx, portbinding.Result{PortID: portA, Source: "a.b"}); err == nil {
		t.Error("a result for a source with a dot was published")
	}
}

func BenchmarkLedgerLoad(b *testing.B) {
	bus := openBus(b, dial(b, startServer(b)), Config{})
	var entries []*portbinding.Entry
	for i := range 10000 {
		entries = append(entries, fullEntry(b, portNumber(i)))
	}
	start := time.Now()
	for batch := range slices.Chunk(entries, 500) {
		if _, err := bus.Ledger().Put(b.Context(), batch...); err != nil {
			b.Fatal(err)
		}
	}
	put := time.Since(start)
	for b.Loop() {
		got, _, err := bus.Ledger().Load(b.Context())
		if err != nil || len(got) != 10000 {
			b.Fatal(len(got), err)
		}
	}
	b.ReportMetric(float64(put.Milliseconds()), "ms-to-put-10000")
}

// BenchmarkFsync is what one publication costs with sync always: the floor under every latency of the service.
func BenchmarkFsync(b *testing.B) {
	bus := openBus(b, dial(b, startServer(b)), Config{})
	for b.Loop() {
		if _, err := bus.js.Publish(b.Context(), "switchbind.work.leaf1", []byte("leaf1"), jetstream.WithRetryAttempts(0)); err != nil {
			b.Fatal(err)
		}
	}
}
