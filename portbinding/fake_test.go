package portbinding

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/switchbind/switchbind/switchdrivers"
)

// fakeLedger keeps JSON, as the real one does, so that what is not encoded is lost here as well.
type fakeLedger struct {
	mu       sync.Mutex
	entries  map[string][]byte
	switches map[string][]byte
	versions map[string]uint64
	fail     error // returned by every write while set
	puts     int
	onPut    func() // called before entries are stored, without the lock
}

func (l *fakeLedger) set(fail error, onPut func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail, l.onPut = fail, onPut
}

func newFakeLedger() *fakeLedger {
	return &fakeLedger{entries: map[string][]byte{}, switches: map[string][]byte{}, versions: map[string]uint64{}}
}

func (l *fakeLedger) Load(context.Context) ([]*Entry, []*SwitchRecord, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var entries []*Entry
	var records []*SwitchRecord
	for id, text := range l.entries {
		e := &Entry{}
		if err := json.Unmarshal(text, e); err != nil {
			return nil, nil, err
		}
		e.Version = l.versions[id]
		entries = append(entries, e)
	}
	for name, text := range l.switches {
		r := &SwitchRecord{}
		if err := json.Unmarshal(text, r); err != nil {
			return nil, nil, err
		}
		r.Version = l.versions["switch."+name]
		records = append(records, r)
	}
	return entries, records, nil
}

func (l *fakeLedger) Put(_ context.Context, entries ...*Entry) ([]uint64, error) {
	l.mu.Lock()
	onPut := l.onPut
	l.mu.Unlock()
	if onPut != nil {
		onPut()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return nil, l.fail
	}
	var out []uint64
	for _, e := range entries {
		if l.versions[e.PortID] != e.Version {
			return nil, ErrConflict
		}
		text, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		l.entries[e.PortID] = text
		l.versions[e.PortID]++
		l.puts++
		out = append(out, l.versions[e.PortID])
	}
	return out, nil
}

func (l *fakeLedger) PutSwitch(_ context.Context, r *SwitchRecord) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return 0, l.fail
	}
	text, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	if l.versions["switch."+r.Name] != r.Version {
		return 0, ErrConflict
	}
	l.switches[r.Name] = text
	l.versions["switch."+r.Name]++
	return l.versions["switch."+r.Name], nil
}

func (l *fakeLedger) Get(_ context.Context, id string) (*Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, ok := l.entries[id]
	if !ok {
		return nil, nil
	}
	e := &Entry{}
	err := json.Unmarshal(text, e)
	e.Version = l.versions[id]
	return e, err
}

func (l *fakeLedger) Remove(_ context.Context, ids ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		delete(l.entries, id)
	}
	return nil
}

func (l *fakeLedger) RemoveSwitch(_ context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.switches, name)
	return nil
}

// fakeOutbox collects results.
type fakeOutbox struct {
	mu      sync.Mutex
	results []Result
	drifts  []Drift
	fail    error
}

func (o *fakeOutbox) Results(_ context.Context, results ...Result) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return o.fail
	}
	o.results = append(o.results, results...)
	return nil
}

func (o *fakeOutbox) Drift(_ context.Context, d Drift) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drifts = append(o.drifts, d)
	return nil
}

// set makes every publication fail, or succeed again.
func (o *fakeOutbox) set(fail error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = fail
}

// of returns the statuses that were said of a port, in order: "pending/port-taken".
func (o *fakeOutbox) of(port string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, r := range o.results {
		if r.PortID == port {
			out = append(out, strings.TrimSuffix(string(r.Status)+"/"+string(r.Reason), "/"))
		}
	}
	return out
}

func (o *fakeOutbox) last(port string) Result {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range slices.Backward(o.results) {
		if r.PortID == port {
			return r
		}
	}
	return Result{}
}

// fakeSwitch is a switch in memory: what a driver sees of one. It does not judge; faults are set by the tests.
type fakeSwitch struct {
	name string

	mu        sync.Mutex
	state     switchdrivers.State
	saved     switchdrivers.State
	applies   []switchdrivers.Change
	reads     int
	saves     int
	down      error                                   // returned by everything
	refuse    func(switchdrivers.Change) error        // asked before a change
	ignore    map[string]bool                         // ports whose changes are accepted and not made
	onApply   func()                                  // called in the middle of a change
	answer    error                                   // returned once, after a change was made: the answer that is lost
	onRead    func()                                  // called before a reading, without the lock
	watch     func(before, after switchdrivers.State) // sees every change of state
	sessions  int
	afterRead func()        // called at the end of every reading, under the lock
	delay     time.Duration // before every reading
}

func newFakeSwitch(name string, ports int) *fakeSwitch {
	s := &fakeSwitch{name: name, ignore: map[string]bool{}}
	s.state = switchdrivers.State{VLANs: map[switchdrivers.VLANID]switchdrivers.VLAN{1: {Name: "default"}}, Ports: map[string]switchdrivers.Port{}}
	for i := 1; i <= ports; i++ {
		s.state.Ports[fmt.Sprintf("Ethernet%d", i)] = switchdrivers.Access(1)
	}
	return s
}

func (s *fakeSwitch) port(name string) switchdrivers.Port {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Ports[name]
}

func (s *fakeSwitch) set(name string, p switchdrivers.Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Ports[name] = p
}

func (s *fakeSwitch) changes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.applies)
}

// vlan is an entry of the VLAN table, nil where there is none.
func (s *fakeSwitch) vlan(id switchdrivers.VLANID) *switchdrivers.VLAN {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.state.VLANs[id]; ok {
		return &v
	}
	return nil
}

func (s *fakeSwitch) saveCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}

func (s *fakeSwitch) fault(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// fakeDriver is a session with a fakeSwitch.
type fakeDriver struct{ *fakeSwitch }

func (d fakeDriver) Read(_ context.Context, scope switchdrivers.Scope) (switchdrivers.State, error) {
	d.mu.Lock()
	delay := d.delay
	d.mu.Unlock()
	time.Sleep(delay)
	d.mu.Lock()
	onRead := d.onRead
	d.mu.Unlock()
	if onRead != nil {
		onRead()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	if d.down != nil {
		return switchdrivers.State{}, d.down
	}
	out := d.state.Clone()
	if scope.Ports != nil {
		maps.DeleteFunc(out.Ports, func(name string, _ switchdrivers.Port) bool { return !slices.Contains(scope.Ports, name) })
	}
	if d.afterRead != nil {
		d.afterRead()
	}
	return out, nil
}

func (d fakeDriver) Apply(_ context.Context, c switchdrivers.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down != nil {
		return d.down
	}
	if d.refuse != nil {
		if err := d.refuse(c); err != nil {
			return err
		}
	}
	if d.onApply != nil {
		d.onApply()
		if d.down != nil {
			return d.down
		}
	}
	before := d.state.Clone()
	d.applies = append(d.applies, c)
	for _, v := range c.VLANs {
		d.state.VLANs[v.ID] = *v.To
	}
	for _, p := range c.Ports {
		if !d.ignore[p.Name] && d.state.Ports[p.Name].LAG == "" { // a member has no VLANs of its own
			d.state.Ports[p.Name] = p.To
		}
	}
	for _, v := range c.Delete {
		delete(d.state.VLANs, v.ID)
	}
	if d.watch != nil {
		d.watch(before, d.state)
	}
	lost := d.answer
	d.answer = nil
	return lost
}

func (d fakeDriver) Save(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down != nil {
		return d.down
	}
	d.saves++
	d.saved = d.state.Clone()
	return nil
}

func (d fakeDriver) Close() error { d.mu.Lock(); d.sessions--; d.mu.Unlock(); return nil }

// fakePlatform opens drivers to the switches of a site.
type fakePlatform struct{ site *site }

func (fakePlatform) Traits() switchdrivers.Traits {
	return switchdrivers.Traits{HasVLANTable: true, VLANNameLength: 32, Descriptions: true, Atomic: true, NeedsSave: true}
}

func (fakePlatform) PortName(text string) (string, error) {
	if !strings.HasPrefix(text, "Ethernet") && !strings.HasPrefix(text, "Port-Channel") || strings.ContainsAny(text, " ;\n'\"") || len(text) > 40 {
		return "", &switchdrivers.PortNameError{Platform: "fake", Text: text, Example: "Ethernet1"}
	}
	return text, nil
}

func (fakePlatform) Render(c switchdrivers.Change) (switchdrivers.Script, error) {
	var out switchdrivers.Script
	for _, p := range c.Ports {
		out = append(out, switchdrivers.Line{Text: p.Name + ": " + p.To.String(), Port: p.Name, Why: p.Reason})
	}
	return out, nil
}

func (p fakePlatform) Open(sw switchdrivers.Switch, _ switchdrivers.Environment) (switchdrivers.Driver, error) {
	s := p.site.switches[sw.Name]
	s.fault(func() { s.sessions++ })
	return fakeDriver{s}, nil
}

// site is a set of fake switches with an engine in front of them.
type site struct {
	t          *testing.T
	ledger     *fakeLedger
	outbox     *fakeOutbox
	switches   map[string]*fakeSwitch
	config     []switchdrivers.Switch
	engine     *Engine
	opt        Options
	sequence   uint64
	fence      Fence
	afterDirty func()      // called when the workers were woken, before whoever marked the switches goes on
	quiet      bool        // signals are dropped, as they are while nobody owns a switch
	deaf       atomic.Bool // signals cannot be sent
}

// Dirty makes the site the Signals of its engine: it hands them straight on.
func (s *site) Dirty(_ context.Context, switches ...string) error {
	if s.deaf.Load() {
		return errors.New("no stream for signals")
	}
	if s.engine == nil || s.quiet {
		return nil
	}
	for _, name := range switches {
		s.engine.Wake(name, s.fence)
	}
	if s.afterDirty != nil {
		s.afterDirty()
	}
	return nil
}

// newSite makes switches leaf1, leaf2, ... with eight ports each. change may alter their configuration.
func newSite(t *testing.T, switches int, change ...func(*switchdrivers.Switch)) *site {
	s := &site{t: t, ledger: newFakeLedger(), outbox: &fakeOutbox{}, switches: map[string]*fakeSwitch{},
		fence: func(context.Context) error { return nil }}
	for i := 1; i <= switches; i++ {
		name := fmt.Sprintf("leaf%d", i)
		s.switches[name] = newFakeSwitch(name, 8)
		sw := switchdrivers.Switch{
			Name: name, Address: "192.0.2." + fmt.Sprint(i), Driver: "fake", Dialect: "fake",
			SwitchIDs:        []switchdrivers.MAC{switchdrivers.MAC(fmt.Sprintf("52:54:00:00:00:%02x", i))},
			PhysicalNetworks: []string{"physnet1"}, Uplinks: switchdrivers.PortList{"Ethernet8"},
			ManageVLANs: true, VLANNameFormat: "net-{network_id}", Drift: "repair", Unexplained: "quarantine", Descriptions: true,
			Save:     switchdrivers.SavePolicy{After: 10 * time.Second},
			Timeouts: switchdrivers.Timeouts{Connect: time.Second, Command: time.Second, Commit: time.Second, Idle: 5 * time.Minute, Poll: time.Minute},
		}
		for _, f := range change {
			f(&sw)
		}
		s.config = append(s.config, sw)
	}
	return s
}

func (s *site) inventory() *switchdrivers.Inventory {
	registry := switchdrivers.Registry{}
	if err := registry.Add("fake", "fake", fakePlatform{s}); err != nil {
		s.t.Fatal(err)
	}
	inv, err := switchdrivers.NewInventory(s.config, registry)
	if err != nil {
		s.t.Fatal(err)
	}
	return inv
}

// start starts an engine over whatever the ledger has.
func (s *site) start() {
	s.t.Helper()
	opt := s.opt
	opt.Inventory, opt.Ledger, opt.Outbox, opt.Signals, opt.Log = s.inventory(), s.ledger, s.outbox, s, zerolog.Nop()
	engine, err := New(opt)
	if err != nil {
		s.t.Fatal(err)
	}
	s.engine = engine
	if err := engine.Start(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) stop() {
	if s.engine != nil {
		s.engine.Close()
		s.engine = nil
	}
}

// port is a port id.
func port(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// bound is a present binding of port n to a VLAN, whose network is named after it, on links written "leaf1/Ethernet1".
func bound(n int, vlan int, links ...string) Binding {
	b := Binding{
		PortID: port(n), Revision: 1, State: Present, VNICType: VNICBaremetal, Network: Network{ID: fmt.Sprintf("net-%d", vlan)},
		Segments: []Segment{{NetworkType: "vlan", PhysicalNetwork: "physnet1", SegmentationID: vlan}},
	}
	for _, l := range links {
		sw, port, _ := strings.Cut(l, "/")
		b.Profile.Links = append(b.Profile.Links, LocalLink{SwitchInfo: sw, PortID: port})
	}
	b.Digest = digest(b)
	return b
}

// trunked adds subports to a binding, each with the VLAN of its own network.
func trunked(b Binding, vlans ...int) Binding {
	b.Trunk = &Trunk{ID: "trunk"}
	for _, v := range vlans {
		b.Trunk.SubPorts = append(b.Trunk.SubPorts, SubPort{PortID: port(9000 + v), SegmentationID: v, Network: Network{ID: fmt.Sprintf("net-%d", v)},
			Segments: []Segment{{NetworkType: "vlan", PhysicalNetwork: "physnet1", SegmentationID: v}}})
	}
	b.Digest = digest(b)
	return b
}

func gone(n int, revision int64, state State) Binding {
	b := Binding{PortID: port(n), Revision: revision, State: state}
	b.Digest = digest(b)
	return b
}

// at gives a binding a revision.
func at(revision int64, b Binding) Binding { b.Revision = revision; return b }

// send delivers bindings from the controller, in one batch.
func (s *site) send(bindings ...Binding) {
	s.t.Helper()
	for i, err := range s.deliver("neutron", bindings...) {
		if err != nil {
			s.t.Fatalf("message %d was not taken: %v", i, err)
		}
	}
}

func (s *site) deliver(source string, bindings ...Binding) []error {
	var messages []Message
	for _, b := range bindings {
		s.sequence++
		messages = append(messages, Message{Source: source, Sequence: s.sequence, Received: time.Now(), Binding: b})
	}
	return s.engine.Accept(context.Background(), messages)
}
