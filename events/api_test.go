package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

// apiCore answers every verb in a way that shows what arrived.
type apiCore struct {
	*fakeCore
	imported chan portbinding.LedgerExport
	export   portbinding.LedgerExport
	slow     chan struct{}
}

func (c *apiCore) List(_ context.Context, f portbinding.ListFilter) ([]portbinding.BindingView, error) {
	if f.Switch == "nothing" {
		return nil, nil
	}
	return []portbinding.BindingView{{PortID: portA, Message: f.Switch + " " + string(f.Status) + " " + f.Network}}, nil
}

func (c *apiCore) Show(_ context.Context, portID string) (portbinding.BindingView, error) {
	if portID == "?" {
		return portbinding.BindingView{}, fmt.Errorf("looking: %w", &portbinding.UnknownError{Kind: "port", Name: portID, Hint: "see `switchbind list`"})
	}
	return portbinding.BindingView{PortID: portID}, nil
}

func (c *apiCore) Switches(ctx context.Context) ([]portbinding.SwitchView, error) {
	select {
	case <-c.slow:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return []portbinding.SwitchView{{Name: "leaf1"}}, nil
}

func (c *apiCore) Plan(_ context.Context, r portbinding.PlanRequest) ([]portbinding.PlanView, error) {
	return []portbinding.PlanView{{Switch: r.Switch, Script: switchdrivers.Script{{Text: fmt.Sprint(len(r.Bindings))}}}}, nil
}

func (c *apiCore) Rebind(_ context.Context, r portbinding.RebindRequest) error {
	if r.By == "" {
		return &portbinding.InvalidError{Pointer: "/by", Problem: "say who"}
	}
	return nil
}

func report(verb string, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	if r.Switch == "broken" {
		return portbinding.OperatorReport{}, errors.New("the disk\nis full")
	}
	return portbinding.OperatorReport{Done: r.Confirm, Message: verb + " " + r.Switch + " " + r.Port + " " + r.By + " " + r.Because}, nil
}

func (c *apiCore) Reconcile(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return report("reconcile", r)
}

func (c *apiCore) Forget(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return report("forget", r)
}

func (c *apiCore) Release(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return report("release", r)
}

func (c *apiCore) Pause(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return report("pause", r)
}

func (c *apiCore) Resume(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return report("resume", r)
}

func (c *apiCore) Replace(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return report("replace", r)
}

func (c *apiCore) AcceptSnapshot(_ context.Context, source, by string) (portbinding.SnapshotReport, error) {
	return portbinding.SnapshotReport{Source: source, Message: by}, nil
}

func (c *apiCore) Export(context.Context) (portbinding.LedgerExport, error) { return c.export, nil }

func (c *apiCore) Import(_ context.Context, l portbinding.LedgerExport, by string) (portbinding.OperatorReport, error) {
	c.imported <- l
	return portbinding.OperatorReport{Done: true, Message: by}, nil
}

// startAPITest returns a client that reaches the service over TCP, as the command line does.
func startAPITest(t testing.TB) (*Client, *apiCore, *Bus) {
	t.Helper()
	e := startServer(t)
	b := openBus(t, dial(t, e), Config{})
	core := &apiCore{fakeCore: newFakeCore(), imported: make(chan portbinding.LedgerExport, 1), slow: make(chan struct{})}
	serve(t, b, core, "leaf1")
	within(t, "wake", core.woken) // the service is up
	conn, err := Connect(t.Context(), ConnectOptions{URLs: []string{e.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	client, err := NewClient(conn, "")
	if err != nil {
		t.Fatal(err)
	}
	return client, core, b
}

func TestTheClientReachesEveryVerb(t *testing.T) {
	c, core, _ := startAPITest(t)
	ctx := t.Context()
	list, err := c.List(ctx, portbinding.ListFilter{Switch: "leaf1", Status: "bound", Network: "n"})
	if err != nil || len(list) != 1 || list[0].Message != "leaf1 bound n" {
		t.Errorf("list: %v %v", list, err)
	}
	if none, err := c.List(ctx, portbinding.ListFilter{Switch: "nothing"}); err != nil || none == nil || len(none) != 0 {
		t.Errorf("an empty list: %#v %v", none, err)
	}
	if v, err := c.Show(ctx, portA); err != nil || v.PortID != portA {
		t.Errorf("show: %v %v", v, err)
	}
	plan, err := c.Plan(ctx, portbinding.PlanRequest{Switch: "leaf1"})
	if err != nil || len(plan) != 1 || plan[0].Switch != "leaf1" {
		t.Errorf("plan: %v %v", plan, err)
	}
	if err := c.Rebind(ctx, portbinding.RebindRequest{PortID: portA, By: "anna", RequestID: NewRequestID()}); err != nil {
		t.Error(err)
	}
	r := portbinding.OperatorRequest{Switch: "leaf1", Port: "Ethernet1", By: "anna", Because: "it burnt", Confirm: true}
	for verb, call := range map[string]func(context.Context, portbinding.OperatorRequest) (portbinding.OperatorReport, error){
		"reconcile": c.Reconcile, "forget": c.Forget, "release": c.Release, "pause": c.Pause, "resume": c.Resume, "replace": c.Replace,
	} {
		if got, err := call(ctx, r); err != nil || !got.Done || got.Message != verb+" leaf1 Ethernet1 anna it burnt" {
			t.Errorf("%s: %+v %v", verb, got, err)
		}
	}
	if got, err := c.AcceptSnapshot(ctx, neutron, "anna"); err != nil || got.Source != neutron || got.Message != "anna" {
		t.Errorf("snapshot accept: %+v %v", got, err)
	}
	// A verb that takes long does not keep the others waiting.
	done := make(chan error, 1)
	go func() {
		_, err := c.Switches(ctx)
		done <- err
	}()
	if _, err := c.List(ctx, portbinding.ListFilter{}); err != nil {
		t.Error(err)
	}
	close(core.slow)
	if err := within(t, "answer", done); err != nil {
		t.Error(err)
	}
}

func TestErrorsKeepTheirTypeOnTheWay(t *testing.T) {
	c, _, _ := startAPITest(t)
	ctx := t.Context()
	_, err := c.Show(ctx, "?")
	if diff := cmp.Diff(error(&portbinding.UnknownError{Kind: "port", Name: "?", Hint: "see `switchbind list`"}), err); diff != "" {
		t.Error(diff)
	}
	err = c.Rebind(ctx, portbinding.RebindRequest{})
	if diff := cmp.Diff(error(&portbinding.InvalidError{Pointer: "/by", Problem: "say who"}), err); diff != "" {
		t.Error(diff)
	}
	_, err = c.Pause(ctx, portbinding.OperatorRequest{Switch: "broken"})
	if diff := cmp.Diff(error(&APIError{Verb: "pause", Kind: "internal", Message: "the disk\nis full"}), err); diff != "" {
		t.Error(diff)
	}
	bad := portbinding.PlanRequest{Bindings: []portbinding.Binding{{PortID: portA, State: portbinding.Absent}, {PortID: "x", State: portbinding.Absent}}}
	var invalid *portbinding.InvalidError
	if _, err = c.Plan(ctx, bad); !errors.As(err, &invalid) || invalid.Pointer != "/bindings/1/port_id" {
		t.Errorf("plan: %v", err)
	}
	m, err := c.conn.Request("switchbind.api.list", []byte("{"), 5*time.Second)
	if err != nil || m.Header.Get("Nats-Service-Error-Code") != "400" {
		t.Errorf("a request that is not JSON: %v %v", m.Header, err)
	}
	if _, err = c.Bind(ctx, "cli-anna", portbinding.Binding{PortID: portA, State: "nonsense"}); !errors.As(err, &invalid) || invalid.Pointer != "/data/state" {
		t.Errorf("bind: %v", err)
	}
	if _, err = c.Bind(ctx, "a.b", portbinding.Binding{PortID: portA, State: portbinding.Absent}); !errors.As(err, &invalid) || invalid.Pointer != "/source" {
		t.Errorf("bind: %v", err)
	}
	if _, err := c.WatchResults("*"); !errors.As(err, &invalid) {
		t.Errorf("watching a wildcard: %v", err)
	}
}

func TestNobodyAnswersIsAnErrorOfItsOwn(t *testing.T) {
	conn := dial(t, startServer(t))
	c, err := NewClient(conn, "")
	if err != nil {
		t.Fatal(err)
	}
	var nobody *NobodyError
	started := time.Now()
	if _, err := c.List(t.Context(), portbinding.ListFilter{}); !errors.As(err, &nobody) || !strings.Contains(err.Error(), "switchbind serve") {
		t.Errorf("list: %v", err)
	}
	large := portbinding.LedgerExport{Entries: []*portbinding.Entry{{PortID: strings.Repeat("x", 2<<20)}}}
	if _, err := c.Import(t.Context(), large, "anna"); !errors.As(err, &nobody) {
		t.Errorf("import: %v", err)
	}
	if _, err := c.Bind(t.Context(), "cli-anna", portbinding.Binding{PortID: portA, State: portbinding.Absent}); !errors.As(err, &nobody) {
		t.Errorf("bind: %v", err)
	}
	if time.Since(started) > 8*time.Second {
		t.Errorf("it took %v to find out", time.Since(started))
	}
	w, err := c.WatchResults(portA)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.Next(ctx); !errors.As(err, &nobody) {
		t.Errorf("next: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := w.Next(ctx); !errors.Is(err, context.Canceled) || errors.As(err, &nobody) {
		t.Errorf("next, cancelled: %v", err)
	}
}

func TestTheAnswerToAPersonIsRecognised(t *testing.T) {
	c, core, b := startAPITest(t)
	ctx := t.Context()
	w, err := c.WatchResults(portA)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	id, err := c.Bind(ctx, "cli-anna", portbinding.Binding{PortID: portA, Revision: 1, State: portbinding.Absent})
	if err != nil {
		t.Fatal(err)
	}
	m := within(t, "batch", core.accepted)[0]
	err = b.Outbox().Results(ctx,
		portbinding.Result{PortID: portA, Source: neutron, Status: portbinding.StatusBound},
		portbinding.Result{PortID: portA, Source: m.Source, RequestID: m.RequestID, Status: portbinding.StatusPending},
		portbinding.Result{PortID: portA, Source: m.Source, RequestID: m.RequestID, Status: portbinding.StatusReleased})
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.Await(ctx, func(r portbinding.Result) bool { return r.RequestID == id && r.Status == portbinding.StatusReleased })
	if err != nil || r.Source != "cli-anna" {
		t.Errorf("got %+v %v", r, err)
	}
}

func TestALedgerLargerThanAMessagePassesTheAPI(t *testing.T) {
	c, core, _ := startAPITest(t)
	core.export = portbinding.LedgerExport{Format: 1, Exported: time.Unix(1000, 0).UTC()}
	for i := range 2000 {
		core.export.Entries = append(core.export.Entries, fullEntry(t, portNumber(i)))
	}
	got, err := c.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(core.export)
	if len(want) < 2<<20 {
		t.Fatalf("the export has only %d bytes", len(want))
	}
	if text, _ := json.Marshal(got); string(text) != string(want) {
		t.Fatalf("%d bytes came back of %d", len(text), len(want))
	}
	report, err := c.Import(t.Context(), got, "anna")
	if err != nil || report.Message != "anna" {
		t.Fatal(report, err)
	}
	imported := within(t, "import", core.imported)
	if text, _ := json.Marshal(imported); string(text) != string(want) {
		t.Fatalf("%d bytes arrived of %d", len(text), len(want))
	}
}

func TestAnUploadThatLiesIsRefused(t *testing.T) {
	c, _, _ := startAPITest(t)
	begin := func(size string) *nats.Msg {
		m, err := c.conn.RequestMsg(&nats.Msg{Subject: "switchbind.api.import", Header: nats.Header{headerUpload: {size}}}, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, size := range []string{"-1", "x", "99999999999999", "536870913"} {
		if m := begin(size); m.Header.Get("Nats-Service-Error-Code") == "" {
			t.Errorf("a size of %q was taken", size)
		}
	}
	for name, parts := range map[string][]*nats.Msg{
		"longer than announced":  {{Data: []byte("0123456789"), Header: nats.Header{headerPart: {"0"}}}},
		"shorter than announced": {{Data: []byte("0"), Header: nats.Header{headerPart: {"0"}}}},
		"a part left out":        {{Data: []byte("0"), Header: nats.Header{headerPart: {"1"}, headerMore: {"1"}}}},
	} {
		to := begin("5").Header.Get(headerUploadTo)
		for _, p := range parts {
			p.Subject = to
			m, err := c.conn.RequestMsg(p, 5*time.Second)
			if err != nil || m.Header.Get("Nats-Service-Error-Code") == "" {
				t.Errorf("%s: %v %v", name, m, err)
			}
		}
	}
}
