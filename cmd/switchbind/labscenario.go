package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/fixtures/lab"
	"github.com/switchbind/switchbind/portbinding"
)

// labRun is one run of the lab: what is running, and what was found out.
type labRun struct {
	app     *app
	options labOptions
	show    *steps

	network *lab.Network
	service *service
	client  *events.Client
	closers []func()
	end     context.CancelCauseFunc // the service ended by itself
	watch   sync.WaitGroup
	stopped chan struct{}

	revision int64
	steps    []*labStep
	tables   []lab.Table
}

// labReport is what the lab prints.
type labReport struct {
	OK       bool         `json:"ok"`
	Wrong    []string     `json:"wrong"` // what is not as it should be, one sentence each
	Steps    []*labStep   `json:"steps"`
	Tables   []lab.Table  `json:"tables"`
	Frames   int          `json:"frames"`   // that reached machines, all of them looked at
	Breaches []lab.Breach `json:"breaches"` // that reached a machine of another segment
	Access   *labAccess   `json:"access,omitempty"`
}

// labStep is one part of the scenario.
type labStep struct {
	Name       string               `json:"step"`
	Title      string               `json:"title"`
	OK         bool                 `json:"ok"`
	Notes      []string             `json:"notes,omitempty"`
	Problem    string               `json:"problem,omitempty"`
	DurationMS int64                `json:"duration_ms"`
	Results    []portbinding.Result `json:"results,omitempty"`
}

func (s *labStep) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// labSource is who speaks: the scenario's events are those of a network controller.
const labSource = "lab"

var errNotAsItShouldBe = errors.New("not as it should be")

// all runs the scenario. It stops at the first step that is not as it should be.
func (r *labRun) all(ctx context.Context, dir string, log io.Writer) error {
	if err := r.step(ctx, "start", "start NATS, switches, machines and the service", func(_ context.Context, s *labStep) error {
		return r.start(ctx, dir, log)
	}); err != nil {
		return err
	}
	for _, step := range []struct {
		name, title string
		do          func(context.Context, *labStep) error
	}{
		{"survey", "a new ledger: every switch is read before the first write", r.survey},
		{"bind", "bind six servers at once", r.bindServers},
		{"refuse", "ask for an uplink and a hypervisor's port", r.refuse},
		{"rebind", "move iron-2 from tenant-a to tenant-b", r.move},
		{"unbind", "unbind iron-1", r.unbind},
	} {
		if err := r.step(ctx, step.name, step.title, step.do); err != nil {
			return err
		}
	}
	return nil
}

// step does a part of the scenario, measures what it led to, good or bad, and shows it.
func (r *labRun) step(ctx context.Context, name, title string, do func(context.Context, *labStep) error) error {
	s := &labStep{Name: name, Title: title}
	r.steps = append(r.steps, s)
	r.show.begin(s)
	begun := time.Now()
	if r.network != nil {
		r.network.Begin(name)
		if r.options.before != nil {
			r.options.before(name, r.network)
		}
	}
	err := do(ctx, s)
	if err != nil {
		s.Problem = err.Error()
	}
	if r.client != nil && !errors.Is(ctx.Err(), context.Canceled) {
		err = errors.Join(err, r.measure(name))
	}
	s.OK, s.DurationMS = err == nil, time.Since(begun).Milliseconds()
	r.show.end(s)
	return err
}

// measure compares who reaches whom with who should, and looks for frames that went astray.
func (r *labRun) measure(after string) error {
	t := r.network.Measure(after)
	r.tables = append(r.tables, t)
	if _, breaches := r.network.Seen(); len(breaches) > 0 || len(t.Wrong()) > 0 {
		return errNotAsItShouldBe
	}
	return nil
}

// report sums up.
func (r *labRun) report() labReport {
	report := labReport{Wrong: []string{}, Steps: r.steps, Tables: r.tables}
	for _, t := range r.tables {
		for _, row := range t.Wrong() {
			report.Wrong = append(report.Wrong, "after "+t.After+": "+row.String())
		}
	}
	report.Frames, report.Breaches = r.network.Seen()
	for _, b := range report.Breaches {
		report.Wrong = append(report.Wrong, b.String())
	}
	for _, s := range r.steps {
		if s.Problem != "" {
			report.Wrong = append(report.Wrong, s.Name+": "+strings.ReplaceAll(s.Problem, "\n", "; "))
		}
	}
	report.OK = len(report.Wrong) == 0
	return report
}

// survey waits until the service has read every switch.
func (r *labRun) survey(ctx context.Context, s *labStep) error {
	for {
		views, err := r.client.Switches(ctx)
		var nobody *events.NobodyError
		if err != nil && !errors.As(err, &nobody) { // the service was only just started
			return err
		}
		waiting := slices.IndexFunc(views, func(v portbinding.SwitchView) bool { return v.LastRead == nil || v.Health != "ok" })
		if waiting < 0 && len(views) > 0 {
			for _, v := range views {
				for _, stray := range v.Unexplained {
					return fmt.Errorf("%s/%s carries VLAN %s that nothing explains", v.Name, stray.Port, stray.VLANs)
				}
				s.note("%s, %s at %s", v.Name, v.Platform, v.Address)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			if waiting < 0 {
				return err
			}
			return fmt.Errorf("%s: %s %s", views[waiting].Name, views[waiting].Health, views[waiting].Message)
		case <-time.After(20 * time.Millisecond): // there is no event for this
		}
	}
}

// bindServers puts every server on its segment, all events at once: what arrives while a switch is busy becomes one change of it.
func (r *labRun) bindServers(ctx context.Context, s *labStep) error {
	var bindings []portbinding.Binding
	asked := map[string]int{}
	for _, place := range []struct{ machine, segment string }{
		{"iron-1", "tenant-a"}, {"iron-2", "tenant-a"}, {"iron-3", "tenant-b"}, {"iron-4", "tenant-c"}, {"iron-5", "tenant-c"}, {"iron-6", "tenant-c"},
	} {
		m := r.network.Machine(place.machine)
		asked[m.Switch]++
		bindings = append(bindings, r.binding(m, place.segment))
	}
	commits, sets := r.network.Leaf1.Counters().Commits, r.network.Leaf2GNMI.Counters().Sets
	if err := r.apply(ctx, s, portbinding.StatusBound, bindings...); err != nil {
		return err
	}
	commits = r.network.Leaf1.Counters().Commits - commits
	s.note("leaf1: %d bindings in %s, leaf2: %d in %s", asked["leaf1"], plural(commits, "commit"), asked["leaf2"],
		plural(int(r.network.Leaf2GNMI.Counters().Sets-sets), "Set"))
	if commits >= asked["leaf1"] {
		return fmt.Errorf("%d bindings that came at once took leaf1 %d commits", asked["leaf1"], commits)
	}
	return nil
}

// refuse asks for ports that nobody may have.
func (r *labRun) refuse(ctx context.Context, s *labStep) error {
	before := r.network.Leaf1.Switch().Version()
	var bindings []portbinding.Binding
	for i, at := range r.network.Protected()[:2] {
		b := r.binding(r.network.Machine("iron-1"), "tenant-a")
		b.PortID = portOf(fmt.Sprintf("intruder-%c", 'a'+i))
		b.Profile.Links = []portbinding.LocalLink{{SwitchInfo: at[0], PortID: at[1]}}
		bindings = append(bindings, b)
	}
	if err := r.apply(ctx, s, portbinding.StatusRefused, bindings...); err != nil {
		return err
	}
	for _, result := range s.Results {
		if result.Reason != portbinding.ReasonPortProtected {
			return fmt.Errorf("port %s was refused because of %s, not %s", result.PortID, result.Reason, portbinding.ReasonPortProtected)
		}
	}
	if r.network.Leaf1.Switch().Version() != before {
		return errors.New("leaf1 was changed nevertheless")
	}
	return nil
}

func (r *labRun) move(ctx context.Context, s *labStep) error {
	return r.apply(ctx, s, portbinding.StatusBound, r.binding(r.network.Machine("iron-2"), "tenant-b"))
}

func (r *labRun) unbind(ctx context.Context, s *labStep) error {
	r.revision++
	return r.apply(ctx, s, portbinding.StatusReleased,
		portbinding.Binding{PortID: portOf("iron-1"), Revision: r.revision, State: portbinding.Absent})
}

// binding is that of a machine's port to a segment, as a controller makes it.
func (r *labRun) binding(m *lab.Machine, segment string) portbinding.Binding {
	r.revision++
	up := true
	b := portbinding.Binding{
		PortID: portOf(m.Name), Revision: r.revision, State: portbinding.Present, VNICType: portbinding.VNICBaremetal,
		MAC: lab.MACText(m.MAC()), AdminStateUp: &up, MTU: 1500, Hosts: []portbinding.Host{{ID: m.Name, Status: "active"}}, DeviceID: m.Name,
		Network: portbinding.Network{ID: segment, Name: segment},
	}
	for _, s := range lab.Segments() {
		if s.Name == segment {
			b.Segments = []portbinding.Segment{{NetworkType: "vlan", PhysicalNetwork: lab.PhysicalNetwork, SegmentationID: s.VLAN}}
		}
	}
	b.Profile.Links = []portbinding.LocalLink{{SwitchID: r.network.SwitchID(m.Switch), SwitchInfo: m.Switch, PortID: m.Port}}
	return b
}

// portOf is the id of a machine's port: always the same, and easy to type the beginning of.
func portOf(name string) string {
	kind, number, _ := strings.Cut(name, "-")
	return strings.Repeat(number, 8) + derivedUUID("lab", kind, number)[8:]
}

// apply publishes bindings, all at once, waits for the answer to each, and compares it with what it must be.
func (r *labRun) apply(ctx context.Context, s *labStep, want portbinding.Status, bindings ...portbinding.Binding) error {
	results := make([]portbinding.Result, len(bindings))
	faults := make([]error, len(bindings))
	var all sync.WaitGroup
	for i, b := range bindings {
		all.Go(func() { results[i], faults[i] = r.applyOne(ctx, want, b) })
	}
	all.Wait()
	for i, result := range results {
		if result.Status == "" {
			continue
		}
		s.Results = append(s.Results, result)
		if result.Status == portbinding.StatusRefused {
			s.note("%s: %s", result.Status, why(result.Reason, result.Message))
			continue
		}
		for _, l := range result.Links {
			s.note("%s  %s/%s  %s, %s after %d ms", r.nameOf(bindings[i].PortID), l.Switch, l.Port, or(observed(l)), l.Status,
				result.DurationMS)
		}
	}
	return errors.Join(faults...)
}

// applyOne tells the network what is going to be, and when it is.
func (r *labRun) applyOne(ctx context.Context, want portbinding.Status, b portbinding.Binding) (portbinding.Result, error) {
	name := r.nameOf(b.PortID)
	isMachine := r.network.Machine(name) != nil
	if isMachine {
		r.network.Ask(name, b.Network.Name)
	}
	result, err := r.ask(ctx, b)
	switch {
	case err != nil:
		return result, fmt.Errorf("%s: %w", name, err)
	case result.Status != want:
		return result, fmt.Errorf("%s is %s, and should be %s", name, joinWords(string(result.Status), why(result.Reason, result.Message)), want)
	case isMachine:
		r.network.Done(name)
	}
	return result, nil
}

// ask publishes a binding and waits for its final result.
func (r *labRun) ask(ctx context.Context, b portbinding.Binding) (portbinding.Result, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return portbinding.Result{}, err
	}
	b.Digest = derivedUUID(string(text))[:13]
	watch, err := r.client.WatchResults(b.PortID)
	if err != nil {
		return portbinding.Result{}, err
	}
	defer watch.Close()
	if _, err := r.client.Bind(ctx, labSource, b); err != nil {
		return portbinding.Result{}, err
	}
	last := "no result came"
	result, err := watch.Await(ctx, func(result portbinding.Result) bool {
		if result.Source != "" && result.Source != labSource || result.Revision != b.Revision || result.Digest != b.Digest {
			return false
		}
		last = joinWords(string(result.Status), why(result.Reason, result.Message))
		return final(result)
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return result, fmt.Errorf("not done in time: %s", last)
	}
	return result, err
}

// nameOf is the machine of a port, or the port where it is no machine's.
func (r *labRun) nameOf(portID string) string {
	for _, m := range r.network.Machines() {
		if portOf(m.Name) == portID {
			return m.Name
		}
	}
	return portID
}
