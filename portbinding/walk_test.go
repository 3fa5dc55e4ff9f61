package portbinding

import (
	"context"
	"errors"
	"fmt"
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
			w := &walk{t: t, s: newSite(t, 3), sent: map[int]Binding{}, revision: map[int]int64{}, states: map[string]switchdrivers.State{}}
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
	sent     map[int]Binding
	revision map[int]int64

	mu     sync.Mutex
	states map[string]switchdrivers.State // as last seen
	checks int
	faults []string
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
		What: rapid.SampledFrom([]string{"bind", "bind", "bind", "trunk", "absent", "delete", "down", "up", "drift", "restart", "refuse", "late",
			"wait"}).Draw(rt, "what"),
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
			w.s.send(at(old.Revision-1, d.binding()))
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
		sw.set(port, switchdrivers.Idle()) // never a breach by itself, always to be repaired
	case "restart":
		w.s.stop()
		w.s.start()
	case "wait":
		time.Sleep(time.Duration(d.Seconds) * time.Second)
	}
	if d.Settle {
		synctest.Wait()
	}
}

func (w *walk) send(n int, b Binding) {
	if old, ok := w.sent[n]; ok && old.State == Deleted {
		return // a port id is never used again
	}
	w.revision[n]++
	b.Revision = w.revision[n] * 10
	b.Digest = digest(b)
	w.sent[n] = b
	w.s.send(b)
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
		sw.fault(func() { sw.down, sw.refuse = nil, nil })
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
		default:
			w.fault("port %s rests at %s/%s: %s", v.PortID, v.Status, v.Reason, v.Message)
		}
		if len(v.Leaving) > 0 {
			w.fault("port %s still holds %v although every switch is well", v.PortID, v.Leaving)
		}
	}
	// What is bound is on the switch, and nothing else is.
	want := map[switchPort]switchdrivers.Port{}
	for n, b := range w.sent {
		if v := view(views, port(n)); v.Status == StatusBound && b.State == Present {
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
		for i := 1; i <= 8; i++ {
			at := switchPort{name, fmt.Sprintf("Ethernet%d", i)}
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
