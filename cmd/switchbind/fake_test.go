package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

// fakeCore stands in for the engine behind a real NATS server. What becomes of a binding is decided by its first switch port, so
// that a script can choose: see fate.
type fakeCore struct {
	outbox portbinding.Outbox

	mu       sync.Mutex
	bindings map[string]portbinding.Message
	requests []string // what operators asked for, in words
	disowned []string
}

func newFakeCore() *fakeCore { return &fakeCore{bindings: map[string]portbinding.Message{}} }

// fate is the sequence of results of a binding on a switch port of this name.
func fate(b portbinding.Binding) []portbinding.Result {
	r := portbinding.Result{PortID: b.PortID, Revision: b.Revision, Digest: b.Digest, Links: []portbinding.LinkResult{}}
	if b.State != portbinding.Present {
		r.Status, r.DurationMS = portbinding.StatusReleased, 12
		return []portbinding.Result{r}
	}
	link := b.Profile.Links[0]
	vlan := switchdrivers.VLANID(b.Segments[len(b.Segments)-1].SegmentationID)
	with := func(status portbinding.Status, reason portbinding.Reason, message string) portbinding.Result {
		out := r
		out.Status, out.Reason, out.Message = status, reason, message
		l := portbinding.LinkResult{Switch: link.SwitchInfo, Port: link.PortID, Status: status, Reason: reason, Message: message}
		if status == portbinding.StatusBound {
			port := switchdrivers.Access(vlan)
			if b.Trunk != nil {
				var tagged []switchdrivers.VLANID
				for _, sub := range b.Trunk.SubPorts {
					tagged = append(tagged, switchdrivers.VLANID(sub.SegmentationID))
				}
				port = switchdrivers.Trunk(vlan, switchdrivers.VLANs(tagged...))
			}
			l.Observed = &port
			out.DurationMS = 143
		}
		out.Links = []portbinding.LinkResult{l}
		return out
	}
	waiting := with(portbinding.StatusPending, portbinding.ReasonPortTaken, "port 7d0c holds leaf1/Ethernet2")
	switch link.PortID {
	case "Ethernet2":
		return []portbinding.Result{waiting, with(portbinding.StatusBound, "", "")}
	case "Ethernet3":
		return []portbinding.Result{waiting}
	case "Ethernet4":
		return []portbinding.Result{with(portbinding.StatusFailed, portbinding.ReasonRejected, "switch leaf1 refused \"vlan 110\": \"% Invalid\x1b[31m\"")}
	case "Ethernet11":
		return []portbinding.Result{with(portbinding.StatusPending, portbinding.ReasonVLANQuarantined, "VLAN 110 of physnet1 may still carry another network")}
	case "Ethernet5":
		return []portbinding.Result{with(portbinding.StatusPending, portbinding.ReasonDryRun, "would be sent to leaf1")}
	case "Ethernet99":
		return []portbinding.Result{with(portbinding.StatusRefused, portbinding.ReasonUnknownPort, "switch leaf1 has no port Ethernet99")}
	}
	return []portbinding.Result{with(portbinding.StatusBound, "", "")}
}

func (f *fakeCore) Accept(ctx context.Context, messages []portbinding.Message) []error {
	errs := make([]error, len(messages))
	for i, m := range messages {
		f.mu.Lock()
		f.bindings[m.Binding.PortID] = m
		f.mu.Unlock()
		errs[i] = f.tell(ctx, m, m.RequestID)
	}
	return errs
}

func (f *fakeCore) tell(ctx context.Context, m portbinding.Message, requestID string) error {
	results := fate(m.Binding)
	for i := range results {
		results[i].Source, results[i].RequestID = m.Source, requestID
	}
	if links := m.Binding.Profile.Links; len(links) > 0 && links[0].PortID == "Ethernet8" { // a late answer to somebody else comes first
		late := results[0]
		late.Source, late.RequestID, late.Revision, late.Digest = "neutron-RegionOne", "", 3, "late"
		late.Status, late.Reason, late.Message = portbinding.StatusRefused, portbinding.ReasonUnsupported, "too late"
		results = append([]portbinding.Result{late}, results...)
	}
	return f.outbox.Results(ctx, results...)
}

func (f *fakeCore) asked(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, fmt.Sprintf(format, args...))
}

func (f *fakeCore) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

func (f *fakeCore) Reject(context.Context, portbinding.Message, *portbinding.InvalidError) error {
	return nil
}
func (f *fakeCore) Wake(string, portbinding.Fence) {}
func (f *fakeCore) Disown(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disowned = append(f.disowned, name)
}

func (f *fakeCore) Snapshot(context.Context, portbinding.Snapshot) (portbinding.SnapshotReport, error) {
	return portbinding.SnapshotReport{}, nil
}

func (f *fakeCore) view(m portbinding.Message) portbinding.BindingView {
	results := fate(m.Binding)
	last := results[len(results)-1]
	v := portbinding.BindingView{PortID: m.Binding.PortID, Source: m.Source, State: m.Binding.State, Revision: m.Binding.Revision,
		Digest: m.Binding.Digest, VNICType: m.Binding.VNICType, MAC: m.Binding.MAC, Network: m.Binding.Network, Status: last.Status,
		Reason: last.Reason, Message: last.Message, Links: last.Links, Binding: &m.Binding}
	if n := len(m.Binding.Segments); n > 0 {
		v.VLAN = m.Binding.Segments[n-1].SegmentationID
	}
	return v
}

func (f *fakeCore) List(_ context.Context, filter portbinding.ListFilter) ([]portbinding.BindingView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var views []portbinding.BindingView
	for _, m := range f.bindings {
		v := f.view(m)
		v.Binding = nil
		if (filter.Status == "" || filter.Status == v.Status) && (filter.Gone || v.State == portbinding.Present) {
			views = append(views, v)
		}
	}
	slices.SortFunc(views, func(a, b portbinding.BindingView) int { return int(a.PortID[0]) - int(b.PortID[0]) })
	return views, nil
}

func (f *fakeCore) Show(_ context.Context, portID string) (portbinding.BindingView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.bindings[portID]
	if !ok {
		return portbinding.BindingView{}, &portbinding.UnknownError{Kind: "port", Name: portID, Hint: "`switchbind list` shows those there are"}
	}
	return f.view(m), nil
}

func (f *fakeCore) Switches(context.Context) ([]portbinding.SwitchView, error) {
	return []portbinding.SwitchView{{Name: "leaf1", Address: "192.0.2.11", Platform: "ssh/arista_eos", Health: "ok", Bound: 2},
		{Name: "spine1", Address: "192.0.2.1", Platform: "gnmi/openconfig", Health: "unreachable", Message: "no answer",
			Warnings: []string{"tls.skip_verify: anybody could answer in the switch's place"}}}, nil
}

func (f *fakeCore) Plan(_ context.Context, r portbinding.PlanRequest) ([]portbinding.PlanView, error) {
	f.asked("plan %q with %d bindings", r.Switch, len(r.Bindings))
	switch {
	case r.Switch == "spine1":
		return []portbinding.PlanView{{Switch: "spine1", Platform: "gnmi/openconfig", Error: "switch spine1 cannot be reached"}}, nil
	case len(r.Bindings) == 0:
		return nil, nil
	}
	return []portbinding.PlanView{{Switch: "leaf1", Platform: "ssh/arista_eos", Script: switchdrivers.Script{
		{Text: "interface Ethernet1", Port: "Ethernet1", Why: "bind " + r.Bindings[0].PortID},
		{Text: "   switchport access vlan 110", Port: "Ethernet1"},
	}, Waiting: []portbinding.LinkResult{{Switch: "leaf1", Port: "Ethernet3", Status: "pending", Reason: "port-taken", Message: "held by 7d0c"}}}}, nil
}

func (f *fakeCore) Rebind(ctx context.Context, r portbinding.RebindRequest) error {
	f.asked("rebind %s by %s", r.PortID, r.By)
	f.mu.Lock()
	m, ok := f.bindings[r.PortID]
	f.mu.Unlock()
	if !ok {
		return &portbinding.UnknownError{Kind: "port", Name: r.PortID}
	}
	return f.tell(ctx, m, r.RequestID)
}

func (f *fakeCore) decide(verb string, r portbinding.OperatorRequest, report portbinding.OperatorReport) (portbinding.OperatorReport, error) {
	f.asked("%s %s/%s because %q confirm %t", verb, r.Switch, r.Port, r.Because, r.Confirm)
	if r.Switch == "leaf9" {
		return portbinding.OperatorReport{}, &portbinding.UnknownError{Kind: "switch", Name: r.Switch, Hint: "`switchbind switches` lists those there are"}
	}
	return report, nil
}

var done = portbinding.OperatorReport{Done: true, Message: "done"}

func (f *fakeCore) Reconcile(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return f.decide("reconcile", r, done)
}

func (f *fakeCore) Forget(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	report := portbinding.OperatorReport{Done: r.Confirm, Message: "1 switch ports may still carry VLANs that nobody keeps track of any more",
		Exposed: []portbinding.Hold{{Switch: r.Switch, Port: "Ethernet1", VLANs: []portbinding.HeldVLAN{{VLAN: 110, PhysicalNetwork: "physnet1", NetworkID: "net-a"}}}}}
	return f.decide("forget", r, report)
}

func (f *fakeCore) Release(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return f.decide("release", r, done)
}
func (f *fakeCore) Pause(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return f.decide("pause", r, done)
}
func (f *fakeCore) Resume(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return f.decide("resume", r, done)
}
func (f *fakeCore) Replace(_ context.Context, r portbinding.OperatorRequest) (portbinding.OperatorReport, error) {
	return f.decide("replace", r, done)
}

func (f *fakeCore) AcceptSnapshot(_ context.Context, source, by string) (portbinding.SnapshotReport, error) {
	f.asked("accept snapshot of %q by %s", source, by)
	if source != "neutron-RegionOne" {
		return portbinding.SnapshotReport{}, &portbinding.UnknownError{Kind: "snapshot", Name: source}
	}
	return portbinding.SnapshotReport{ID: "s1", Source: source, Changed: 2, Removed: []string{"b16e"}, Message: "accepted"}, nil
}

func (f *fakeCore) Export(context.Context) (portbinding.LedgerExport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := portbinding.LedgerExport{Format: 1, Exported: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	for _, m := range f.bindings {
		out.Entries = append(out.Entries, &portbinding.Entry{PortID: m.Binding.PortID,
			Manual: &portbinding.Layer{Source: m.Source, Sequence: m.Sequence, Binding: m.Binding}})
	}
	out.Switches = []*portbinding.SwitchRecord{{Name: "leaf1"}}
	return out, nil
}

func (f *fakeCore) Import(_ context.Context, l portbinding.LedgerExport, by string) (portbinding.OperatorReport, error) {
	f.asked("import %d entries", len(l.Entries))
	return portbinding.OperatorReport{Done: true, Message: fmt.Sprintf("%d entries added", len(l.Entries))}, nil
}

// The part of the engine beside events.Core.
func (f *fakeCore) Start(context.Context) error { return nil }
func (f *fakeCore) Close()                      {}
func (f *fakeCore) SetInventory(_ context.Context, inv *switchdrivers.Inventory) error {
	f.asked("inventory %v", inv.Names())
	if inv.Switch("leaf1") == nil {
		return errors.New("switch leaf1 is taken out but 1 bindings still hold ports there")
	}
	return nil
}

// startFake runs a fake service behind a real NATS server, and returns the server's address.
func startFake(t interface {
	Cleanup(func())
	Fatal(...any)
	TempDir() string
}, core *fakeCore) string {
	server, err := events.StartEmbedded(events.EmbeddedOptions{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := server.Connect(ctx, "fake")
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ready := make(chan struct{})
	stopped := make(chan error, 1)
	bus, err := events.Open(ctx, conn, events.Config{Sole: true})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	core.outbox = bus.Outbox()
	go func() { stopped <- bus.Serve(ctx, core) }()
	go func() { // the API answers when everything is consumed
		defer close(ready)
		client, err := events.NewClient(conn, "")
		for err == nil && ctx.Err() == nil {
			if _, err := client.List(ctx, portbinding.ListFilter{}); err == nil {
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-stopped; conn.Close() })
	select {
	case <-ready:
	case err := <-stopped:
		stopped <- err
		t.Fatal(err)
	case <-time.After(30 * time.Second):
		t.Fatal("the fake service does not answer")
	}
	return server.URL()
}

var _ engine = (*fakeCore)(nil)

type registry struct {
	mu    sync.Mutex
	cores map[string]*fakeCore
}

func newRegistry() *registry { return &registry{cores: map[string]*fakeCore{}} }

func (r *registry) put(url string, c *fakeCore) { r.mu.Lock(); defer r.mu.Unlock(); r.cores[url] = c }
func (r *registry) get(url string) *fakeCore    { r.mu.Lock(); defer r.mu.Unlock(); return r.cores[url] }
