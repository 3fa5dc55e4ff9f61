package portbinding

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/switchbind/switchbind/switchdrivers"
)

// TestRandomWalk plays long random sequences of everything that happens to such a service and checks, at every single change of
// every switch, that no VLAN ever joins ports of two networks; and at the end that everything came to rest as wished.
//
// The oracle knows nothing of the engine's reasoning: it keeps, for each port, the last binding that was sent for it.
func TestRandomWalk(t *testing.T) {
	steps, checks := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		var faults []string
		plan := rapid.SliceOfN(rapid.Custom(drawStep), 5, 40).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			w := &walk{t: t, s: newSite(t, 3), sent: map[int]Binding{}, manual: map[int]override{}, revision: map[int]int64{},
				states: map[string]switchdrivers.State{}}
			w.s.opt.Snapshot = SnapshotPolicy{MostRemovals: -1, MostShare: -1}
			for name, sw := range w.s.switches {
				sw.watch = func(_, after switchdrivers.State) { w.look(name, after) }
			}
			w.s.start()
			defer w.s.stop()
			synctest.Wait()
			for _, d := range plan {
				w.step(d)
				steps++
			}
			w.rest()
			checks += w.checks
			faults = w.faults
		})
		for _, f := range faults {
			rt.Error(f)
		}
	})
	t.Logf("%d steps, %d states of switches checked", steps, checks)
}

type walk struct {
	t        *testing.T
	s        *site
	sent     map[int]Binding  // what the controller said last
	manual   map[int]override // what a person laid over it
	revision map[int]int64
	undone   []Message // what could not be taken, and is delivered again
	grouped  bool      // LAG membership was changed at some time

	mu     sync.Mutex
	states map[string]switchdrivers.State // as last seen
	checks int
	faults []string
}

// override is a manual binding, and what the controller wanted when it was laid: it ends when that changes.
type override struct {
	binding, over Binding
}

// network is the network that had a VLAN last: VLAN ids are given to networks in turns, as a controller does when it deletes one
// network and makes another.
func network(vlan, generation int) string {
	return fmt.Sprintf("net-%d-%d", vlan, generation)
}

// draw is one step of a walk. All of it is drawn before the walk begins: a bubble of time is no place for the generator.
type draw struct {
	What             string
	Port             int
	VLAN, Generation int
	Switch, Other    int // the second link goes to Other; 0 is none
	SwitchPort       int
	Seconds          int
	Settle           bool
}

func drawStep(rt *rapid.T) draw {
	return draw{
		What: rapid.SampledFrom([]string{"bind", "bind", "bind", "trunk", "absent", "delete", "down", "up", "drift", "stray", "restart", "refuse", "late",
			"wait", "manual", "unbind by hand", "group", "ungroup", "snapshot", "pause", "resume", "lose change", "lose answer", "no ledger",
			"no outbox", "deaf", "heal", "allow less", "allow all"}).Draw(rt, "what"),
		Port: rapid.IntRange(1, 6).Draw(rt, "port"), VLAN: rapid.IntRange(101, 103).Draw(rt, "vlan"),
		Generation: rapid.IntRange(1, 2).Draw(rt, "generation"), Switch: rapid.IntRange(1, 3).Draw(rt, "switch"),
		Other: max(0, rapid.IntRange(-6, 3).Draw(rt, "other")), SwitchPort: rapid.IntRange(1, 4).Draw(rt, "switch port"),
		Seconds: rapid.IntRange(1, 900).Draw(rt, "seconds"), Settle: rapid.Bool().Draw(rt, "settle"),
	}
}

func (d draw) String() string {
	return fmt.Sprintf("%s p%d v%d.%d leaf%d+%d/Ethernet%d %ds settle=%v", d.What, d.Port, d.VLAN, d.Generation, d.Switch, d.Other, d.SwitchPort, d.Seconds, d.Settle)
}

func (d draw) binding() Binding {
	links := []string{fmt.Sprintf("leaf%d/Ethernet%d", d.Switch, d.SwitchPort)}
	if d.Other > 0 {
		links = append(links, fmt.Sprintf("leaf%d/Ethernet%d", d.Other, d.SwitchPort))
	}
	b := bound(d.Port, d.VLAN, links...)
	b.Network.ID = network(d.VLAN, d.Generation)
	if d.What == "trunk" {
		other := 101 + (d.VLAN-100)%3
		b = trunked(b, other)
		b.Trunk.SubPorts[0].Network.ID = network(other, d.Generation)
	}
	return b
}

func (w *walk) step(d draw) {
	name, port := fmt.Sprintf("leaf%d", d.Switch), fmt.Sprintf("Ethernet%d", d.SwitchPort)
	sw := w.s.switches[name]
	switch d.What {
	case "bind", "trunk":
		w.send(d.Port, d.binding())
	case "absent":
		w.send(d.Port, gone(d.Port, 0, Absent))
	case "delete":
		w.send(d.Port, gone(d.Port, 0, Deleted))
	case "late":
		if old, ok := w.sent[d.Port]; ok {
			w.deliver("neutron", at(old.Revision-1, d.binding()))
		}
	case "down":
		sw.fault(func() {
			sw.down = &switchdrivers.UnreachableError{Switch: name, Doing: "connecting", Err: errors.New("no route")}
		})
	case "up":
		sw.fault(func() { sw.down, sw.refuse = nil, nil })
	case "refuse":
		sw.fault(func() {
			sw.refuse = func(c switchdrivers.Change) error {
				for _, p := range c.Ports {
					if p.Name == port && p.To.Mode != switchdrivers.ModeIdle {
						return &switchdrivers.RefusedError{Switch: name, Rejections: []switchdrivers.Rejection{{Line: "commit", Words: "no"}}}
					}
				}
				return nil
			}
		})
	case "drift":
		w.drift(name, port, switchdrivers.Idle()) // never a breach by itself, always to be repaired
	case "stray":
		if w.bound(name, port) { // a breach, but nobody's fault of ours; the next comparison repairs it
			stray := switchdrivers.Access(switchdrivers.VLANID(d.VLAN))
			stray.Description = strayed
			w.drift(name, port, stray)
		}
	case "restart":
		w.s.stop()
		w.s.ledger.set(nil, nil)
		w.s.outbox.set(nil)
		w.s.deaf.Store(false)
		w.s.start()
	case "manual", "unbind by hand":
		b := d.binding()
		if d.What == "unbind by hand" {
			b = gone(d.Port, 0, Absent)
		}
		w.manual[d.Port] = override{b, w.sent[d.Port]}
		w.deliver("cli-op", b)
	case "group":
		w.grouped = true
		sw.group("Port-Channel1", port)
		w.look(name, sw.now())
	case "ungroup":
		if sw.port(port).LAG != "" {
			sw.group("", port)
			sw.set(port, switchdrivers.Idle())
			w.look(name, sw.now())
		}
	case "snapshot":
		w.snapshot(d.Port)
	case "pause":
		_, _ = w.s.engine.Pause(background, OperatorRequest{Switch: name, By: "op", Because: "walk"})
	case "resume":
		_, _ = w.s.engine.Resume(background, OperatorRequest{Switch: name, By: "op"})
	case "lose change", "lose answer":
		lost := &switchdrivers.UnreachableError{Switch: name, Doing: "committing", Err: errors.New("connection reset")}
		sw.fault(func() {
			if d.What == "lose answer" {
				sw.answer = lost
				return
			}
			sw.refuse = func(switchdrivers.Change) error { sw.refuse = nil; return lost }
		})
	case "no ledger":
		w.s.ledger.set(errors.New("disk full"), nil)
	case "no outbox":
		w.s.outbox.set(errors.New("no stream"))
	case "deaf":
		w.s.deaf.Store(true)
	case "heal":
		w.heal()
	case "allow less":
		w.allow(d.Switch, switchdrivers.VLANs(101, 102))
	case "allow all":
		w.allow(d.Switch, switchdrivers.VLANSet{})
	case "wait":
		time.Sleep(time.Duration(d.Seconds) * time.Second)
	}
	if d.Settle {
		synctest.Wait()
	}
	w.again()
}

// strayed marks a port that somebody put into a VLAN behind our back.
const strayed = "strayed"

func (w *walk) drift(name, port string, to switchdrivers.Port) {
	sw := w.s.switches[name]
	if sw.port(port).LAG == "" {
		sw.set(port, to)
		w.look(name, sw.now())
	}
}

// bound reports whether somebody's binding is verified on a port.
func (w *walk) bound(name, port string) bool {
	views, _ := w.s.engine.List(background, ListFilter{Status: StatusBound})
	for _, v := range views {
		for _, l := range v.Links {
			if l.Switch == name && l.Port == port {
				return true
			}
		}
	}
	return false
}

// snapshot sends the controller's whole truth, from which one port is missing.
func (w *walk) snapshot(without int) {
	w.heal()
	s := Snapshot{Source: "neutron", ID: "s", Begin: time.Now()}
	for n, b := range w.sent {
		switch {
		case n == without && b.State == Present:
			b.State = Absent
			w.said(n, b)
		case b.State == Present:
			s.Bindings = append(s.Bindings, b)
		}
	}
	slices.SortFunc(s.Bindings, func(x, y Binding) int { return strings.Compare(x.PortID, y.PortID) })
	if r, err := w.s.engine.Snapshot(background, s); err != nil || r.Held {
		w.fault("snapshot: %+v, %v", r, err)
	}
}

func (w *walk) allow(leaf int, vlans switchdrivers.VLANSet) {
	was := w.s.config[leaf-1].AllowedVLANs
	w.s.config[leaf-1].AllowedVLANs = vlans
	inv := w.s.inventory()
	if err := w.s.engine.SetInventory(background, inv); err != nil && w.s.engine.book.inv != inv {
		w.s.config[leaf-1].AllowedVLANs = was // refused: somebody is bound there, or there is no ledger
	}
}

// heal brings back what switchbind itself stands on, and delivers again what could not be taken.
func (w *walk) heal() {
	w.s.ledger.set(nil, nil)
	w.s.outbox.set(nil)
	w.s.deaf.Store(false)
	w.again()
}

// deliver sends a message until it is taken.
func (w *walk) deliver(source string, b Binding) {
	w.s.sequence++
	w.undone = append(w.undone, Message{Source: source, Sequence: w.s.sequence, Received: time.Now(), Binding: b})
	w.again()
}

func (w *walk) again() {
	var left []Message
	for i, err := range w.s.engine.Accept(background, w.undone) {
		if err != nil {
			left = append(left, w.undone[i])
		}
	}
	w.undone = left
}

// said takes note of what the controller wants, which may end an override.
func (w *walk) said(n int, b Binding) {
	w.sent[n] = b
	if o, ok := w.manual[n]; ok && (o.over.State != b.State || b.State == Present && o.over.Digest != b.Digest) {
		delete(w.manual, n)
	}
}

// wish is what is in force for a port.
func (w *walk) wish(n int) Binding {
	if o, ok := w.manual[n]; ok {
		return o.binding
	}
	return w.sent[n]
}

func (w *walk) send(n int, b Binding) {
	if old, ok := w.sent[n]; ok && old.State == Deleted {
		return // a port id is never used again
	}
	w.revision[n]++
	b.Revision = w.revision[n] * 10
	b.Digest = digest(b)
	w.said(n, b)
	w.deliver("neutron", b)
}

// look is called inside every change, with the switch's new state: the moment when a breach would happen. Which network a port's
// traffic belongs to is read from the port's description, which the same change set: it ends in the network's name, whose last
// number, the generation, is that of the subports' networks too.
func (w *walk) look(name string, after switchdrivers.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checks++
	w.states[name] = after.Clone()
	in := map[switchdrivers.VLANID]map[string]switchPort{}
	for sw, state := range w.states {
		for name, port := range state.Ports {
			if port.Description == strayed {
				continue
			}
			for v := range port.VLANs().Minus(switchdrivers.VLANs(1)).All() {
				var id string
				var vlan, generation int
				if _, err := fmt.Sscanf(port.Description, "switchbind %s net-%d-%d", &id, &vlan, &generation); err != nil {
					w.fault("%s/%s is in VLAN %d for nobody (%q)", sw, name, v, port.Description)
				}
				if in[v] == nil {
					in[v] = map[string]switchPort{}
				}
				in[v][network(int(v), generation)] = switchPort{sw, name}
			}
		}
	}
	for v, networks := range in {
		if len(networks) > 1 {
			w.fault("VLAN %d joins networks %v", v, networks)
		}
	}
}

func (w *walk) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// rest brings every switch back, waits, and checks that every wish came true, or waits for one that holds its place.
func (w *walk) rest() {
	for _, sw := range w.s.switches {
		sw.fault(func() { sw.down, sw.refuse, sw.answer = nil, nil, nil })
	}
	w.heal()
	for i := 1; i <= 3; i++ {
		w.allow(i, switchdrivers.VLANSet{})
		if _, err := w.s.engine.Resume(background, OperatorRequest{Switch: fmt.Sprintf("leaf%d", i), By: "op"}); err != nil {
			w.fault("resume: %v", err)
		}
	}
	if len(w.undone) > 0 {
		w.fault("%d messages were never taken", len(w.undone))
	}
	time.Sleep(time.Hour)
	synctest.Wait()
	views, err := w.s.engine.List(context.Background(), ListFilter{Gone: true})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range views {
		switch {
		case v.Status == StatusBound, v.Status == StatusReleased:
		case v.Reason == ReasonPortTaken, v.Reason == ReasonVLANQuarantined:
			if !w.contested(v.PortID) {
				w.fault("port %s waits for nobody: %s", v.PortID, v.Message)
			}
		default:
			w.fault("port %s rests at %s/%s: %s", v.PortID, v.Status, v.Reason, v.Message)
		}
		if len(v.Leaving) > 0 {
			w.fault("port %s still holds %v although every switch is well", v.PortID, v.Leaving)
		}
	}
	// What is bound is on the switch, and nothing else is.
	want := map[switchPort]switchdrivers.Port{}
	for n := 1; n <= 6; n++ {
		b := w.wish(n)
		if v := view(views, port(n)); (v.Status == StatusBound) != (b.State == Present) && v.Status != StatusPending && b.State != "" {
			w.fault("port %d rests at %s, wanted is %q", n, v.Status, b.State)
		} else if v.Status == StatusBound {
			for _, l := range v.Links {
				if l.Status != StatusBound {
					w.fault("port %s is bound, but its link %s/%s is %s", v.PortID, l.Switch, l.Port, l.Status)
				}
				p := switchdrivers.Access(switchdrivers.VLANID(b.Segments[0].SegmentationID))
				if b.Trunk != nil {
					p = switchdrivers.Trunk(p.AccessVLAN, switchdrivers.VLANs(switchdrivers.VLANID(b.Trunk.SubPorts[0].SegmentationID)))
				}
				want[switchPort{l.Switch, l.Port}] = p
			}
		}
	}
	for name, sw := range w.s.switches {
		for portName := range sw.now().Ports {
			at := switchPort{name, portName}
			have, p := sw.port(at.port), want[at]
			if have.VLANs().Minus(switchdrivers.VLANs(1)).Equal(p.VLANs()) {
				continue
			}
			w.fault("%s is %q at rest, want %q", at, have, p)
		}
	}
}

func view(views []BindingView, id string) BindingView {
	for _, v := range views {
		if v.PortID == id {
			return v
		}
	}
	return BindingView{}
}

// contested reports whether another wish stands in the way of a port's: for a switch port, or for a VLAN.
func (w *walk) contested(id string) bool {
	for n := 1; n <= 6; n++ {
		if port(n) != id {
			continue
		}
		mine := w.wish(n)
		for m := 1; m <= 6; m++ {
			if other := w.wish(m); m != n && other.State == Present && (w.grouped || disagree(mine, other)) {
				return true
			}
		}
	}
	return false
}

func disagree(x, y Binding) bool {
	for _, l := range x.Profile.Links {
		if slices.Contains(y.Profile.Links, l) {
			return true
		}
	}
	networks := func(b Binding) map[int]string {
		out := map[int]string{b.Segments[0].SegmentationID: b.Network.ID}
		if b.Trunk != nil {
			for _, s := range b.Trunk.SubPorts {
				out[s.SegmentationID] = s.Network.ID
			}
		}
		return out
	}
	other := networks(y)
	for vlan, network := range networks(x) {
		if id, ok := other[vlan]; ok && id != network {
			return true
		}
	}
	return false
}

// now is a copy of the switch's state.
func (s *fakeSwitch) now() switchdrivers.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Clone()
}
