package events

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/switchbind/switchbind/portbinding"
)

func bindingText(source, port string, revision int) []byte {
	text := strings.ReplaceAll(exampleBinding, portA, port)
	text = strings.ReplaceAll(text, neutron, source)
	return []byte(strings.Replace(text, `"revision_number": 3`, fmt.Sprintf(`"revision_number": %d`, revision), 1))
}

func publish(t testing.TB, b *Bus, subject string, data []byte) uint64 {
	t.Helper()
	ack, err := b.js.Publish(t.Context(), subject, data)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// pending is how many bindings are not acknowledged yet.
func pending(t testing.TB, b *Bus) int {
	t.Helper()
	c, err := b.streams.bindings.Consumer(t.Context(), "inbox")
	if err != nil {
		return -1 // not made yet
	}
	return c.CachedInfo().NumAckPending + int(c.CachedInfo().NumPending)
}

func deadLetter(t testing.TB, b *Bus, n uint64) *jetstream.RawStreamMsg {
	t.Helper()
	eventually(t, "a dead letter", func() bool {
		info, err := b.streams.dead.Info(t.Context())
		return err == nil && info.State.LastSeq >= n
	})
	m, err := b.streams.dead.GetMsg(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	headers := map[string]any{}
	for name, values := range m.Header {
		headers[name] = values[0]
	}
	if err := validate(SchemaDeadLetter, headers); err != nil {
		t.Errorf("the dead letter's headers: %v", err)
	}
	return m
}

func TestBindingsReachTheCoreInTheOrderOfTheStream(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	const n = 300
	for i := range n {
		publish(t, b, b.subjects.binding(neutron, portNumber(i)), bindingText(neutron, portNumber(i), i))
	}
	core := newFakeCore()
	before := time.Now().Add(-time.Minute)
	stop := serve(t, b, core)
	var got []portbinding.Message
	for len(got) < n {
		batch := within(t, "batch", core.accepted)
		if len(batch) > inboxBatch {
			t.Errorf("a batch of %d", len(batch))
		}
		got = append(got, batch...)
	}
	for i, m := range got {
		if m.Binding.PortID != portNumber(i) || m.Source != neutron || m.RequestID != "" || m.Received.Before(before) || m.Received.After(time.Now()) {
			t.Fatalf("message %d is %+v", i, m)
		}
		if i > 0 && m.Sequence <= got[i-1].Sequence {
			t.Fatalf("sequence %d after %d", m.Sequence, got[i-1].Sequence)
		}
	}
	eventually(t, "everything acknowledged", func() bool { return pending(t, b) == 0 })
	stop()

	// A restart delivers nothing again, and a person's event carries its id.
	core = newFakeCore()
	serve(t, b, core)
	client, err := NewClient(b.conn, "")
	if err != nil {
		t.Fatal(err)
	}
	e, _ := decodeBinding(neutron, portA, []byte(exampleBinding))
	id, err := client.Bind(t.Context(), "cli-anna", e.Binding)
	if err != nil {
		t.Fatal(err)
	}
	batch := within(t, "batch", core.accepted)
	if len(batch) != 1 || batch[0].RequestID != id || !batch[0].Manual() {
		t.Errorf("got %+v, want the request id %s", batch, id)
	}
}

func TestWhatTheCoreCannotTakeIsDeliveredAgain(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	core := newFakeCore()
	refusals := 1
	core.accept = func(messages []portbinding.Message) []error {
		errs := make([]error, len(messages))
		for i, m := range messages {
			if m.Binding.PortID == portA && refusals > 0 {
				refusals--
				errs[i] = errors.New("the disk is full")
			}
		}
		return errs
	}
	publish(t, b, b.subjects.binding(neutron, portA), bindingText(neutron, portA, 1))
	publish(t, b, b.subjects.binding(neutron, portB), bindingText(neutron, portB, 1))
	serve(t, b, core)
	seen := map[string]int{}
	for seen[portA] < 2 {
		for _, m := range within(t, "batch", core.accepted) {
			seen[m.Binding.PortID]++
		}
	}
	if seen[portB] != 1 {
		t.Errorf("the other message was delivered %d times", seen[portB])
	}
	eventually(t, "everything acknowledged", func() bool { return pending(t, b) == 0 })
}

func TestWhatBreaksTheContractBecomesADeadLetterAndIsAnswered(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	core := newFakeCore()
	attempts := 0
	core.reject = func(string, string, *portbinding.InvalidError) error {
		if attempts++; attempts == 1 {
			return errors.New("not now")
		}
		return nil
	}
	core.accept = func(messages []portbinding.Message) []error {
		errs := make([]error, len(messages))
		for i, m := range messages {
			if m.Source == "other" {
				errs[i] = fmt.Errorf("engine: %w", &portbinding.InvalidError{Pointer: "/source", Problem: "belongs to somebody else"})
			}
		}
		return errs
	}
	serve(t, b, core)
	bad := edit(t, 4095, "data", "segments", "0", "segmentation_id")
	sequence := publish(t, b, b.subjects.binding(neutron, portA), bad)
	if got := within(t, "rejection", core.rejected); !strings.HasPrefix(got, neutron+" "+portA+" ") || !strings.Contains(got, "4095") {
		t.Errorf("rejected %q", got)
	}
	m := deadLetter(t, b, 1)
	if string(m.Data) != string(bad) || m.Subject != "switchbind.dead.invalid-event" ||
		m.Header.Get(headerPointer) != "/data/segments/0/segmentation_id" || !strings.Contains(m.Header.Get(headerProblem), "at most 4094") ||
		m.Header.Get(headerSubject) != b.subjects.binding(neutron, portA) || m.Header.Get(headerSequence) != fmt.Sprint(sequence) {
		t.Errorf("the dead letter is %v %s", m.Header, m.Data)
	}
	if attempts != 2 {
		t.Errorf("the core was asked %d times to answer", attempts)
	}

	// One that the engine refuses, one for a subject without a port, one that is not JSON at all, one that is too large.
	publish(t, b, b.subjects.binding("other", portB), bindingText("other", portB, 1))
	if got := within(t, "rejection", core.rejected); !strings.HasPrefix(got, "other "+portB) {
		t.Errorf("rejected %q", got)
	}
	publish(t, b, b.subjects.binding(neutron, "port-1"), []byte(exampleBinding))
	deadLetter(t, b, 3)
	publish(t, b, b.subjects.binding(neutron, portB), []byte("\xff\x00hello\r\n\"; drop"))
	if got := within(t, "rejection", core.rejected); !strings.HasPrefix(got, neutron+" "+portB) {
		t.Errorf("rejected %q", got)
	}
	publish(t, b, b.subjects.binding(neutron, portB), []byte(strings.Repeat("x", 1<<20-100)))
	within(t, "rejection", core.rejected)
	if m := deadLetter(t, b, 5); len(m.Data) < 1<<20-10<<10 {
		t.Errorf("of the largest message %d bytes are kept", len(m.Data))
	}
	eventually(t, "everything settled", func() bool { return pending(t, b) == 0 })
	info, err := b.streams.dead.Info(t.Context())
	if err != nil || info.State.Msgs != 5 {
		t.Errorf("there are %d dead letters, want 5 (%v)", info.State.Msgs, err)
	}
	select {
	case got := <-core.rejected:
		t.Errorf("a message without a port was answered: %s", got)
	default:
	}
}

func TestADeadLetterThatCannotBeKeptIsNotLost(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	if err := b.js.DeleteStream(t.Context(), "SWITCHBIND_DEAD"); err != nil {
		t.Fatal(err)
	}
	core := newFakeCore()
	serve(t, b, core)
	publish(t, b, b.subjects.binding(neutron, portA), []byte("{"))
	eventually(t, "a second delivery", func() bool {
		c, err := b.streams.bindings.Consumer(t.Context(), "inbox")
		return err == nil && c.CachedInfo().NumRedelivered > 0
	})
	if len(core.rejected) != 0 {
		t.Error("answered before the dead letter was kept")
	}
	if _, err := openStreams(t.Context(), b.js, b.subjects, b.config); err != nil {
		t.Fatal(err)
	}
	within(t, "rejection", core.rejected)
}

func TestTheInboxSurvivesTheLossOfItsConsumer(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	core := newFakeCore()
	serve(t, b, core)
	publish(t, b, b.subjects.binding(neutron, portA), bindingText(neutron, portA, 1))
	within(t, "batch", core.accepted)
	if err := b.streams.bindings.DeleteConsumer(t.Context(), "inbox"); err != nil {
		t.Fatal(err)
	}
	publish(t, b, b.subjects.binding(neutron, portB), bindingText(neutron, portB, 1))
	for {
		for _, m := range within(t, "batch", core.accepted) {
			if m.Binding.PortID == portB {
				return
			}
		}
	}
}

func TestServeOnlyOnce(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	core := newFakeCore()
	serve(t, b, core)
	publish(t, b, b.subjects.binding(neutron, portA), bindingText(neutron, portA, 1))
	within(t, "batch", core.accepted)
	if err := b.Serve(t.Context(), core); err == nil {
		t.Error("served twice")
	}
}

// BenchmarkEventToAccept is what the inbox adds to a publication: compare it with BenchmarkFsync, which is one publication alone.
func BenchmarkEventToAccept(b *testing.B) {
	bus := openBus(b, dial(b, startServer(b)), Config{})
	core := newFakeCore()
	serve(b, bus, core)
	text := bindingText(neutron, portA, 1)
	subject := bus.subjects.binding(neutron, portA)
	for b.Loop() {
		if err := bus.conn.PublishMsg(&nats.Msg{Subject: subject, Data: text}); err != nil {
			b.Fatal(err)
		}
		<-core.accepted
	}
}
