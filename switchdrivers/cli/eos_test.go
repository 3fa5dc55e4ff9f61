package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/switchbind/switchbind/fixtures/virtualswitch"
	"github.com/switchbind/switchbind/switchdrivers"
)

// startEOS is a virtual EOS switch with ports Ethernet1 to Ethernet<ports> and a LAG, and its inventory entry.
func startEOS(t testing.TB, ports int) (*virtualswitch.EOS, switchdrivers.Switch) {
	t.Helper()
	eos := virtualswitch.NewEOS(virtualswitch.New(virtualswitch.Options{Name: "leaf1", Ports: virtualswitch.EthernetPorts(ports)}),
		virtualswitch.EOSOptions{Username: "admin", Password: "right"})
	address, err := eos.ListenSSH("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = eos.Close() })
	return eos, switchdrivers.Switch{
		Name: "leaf1", Address: address.String(), Driver: Driver, Dialect: "arista_eos",
		Credentials: switchdrivers.Credentials{Username: "admin", PasswordFile: secretFile(t, "right")},
		HostKey:     switchdrivers.HostKey{Fingerprints: []string{eos.HostKeyFingerprint()}},
		Timeouts: switchdrivers.Timeouts{Connect: 10 * time.Second, Command: 10 * time.Second, Commit: 10 * time.Second,
			Idle: time.Minute},
	}
}

func mustRead(t interface {
	Fatal(...any)
	Helper()
}, d *driver) switchdrivers.State {
	t.Helper()
	state, err := d.Read(context.Background(), switchdrivers.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// drawState changes some VLANs and some ports of a state.
func drawState(t *rapid.T, state switchdrivers.State, ports []string) switchdrivers.State {
	want := state.Clone()
	for id := switchdrivers.VLANID(100); id < 106; id++ {
		switch rapid.SampledFrom([]string{"keep", "there", "named", "gone"}).Draw(t, fmt.Sprintf("vlan %d", id)) {
		case "there":
			want.VLANs[id] = switchdrivers.VLAN{}
		case "named":
			want.VLANs[id] = switchdrivers.VLAN{Name: rapid.SampledFrom([]string{"net-a", "net-b"}).Draw(t, "name")}
		case "gone":
			delete(want.VLANs, id)
		}
	}
	for _, name := range ports {
		var p switchdrivers.Port
		switch rapid.SampledFrom([]string{"keep", "idle", "access A", "access B", "trunk T1", "trunk T2", "any"}).Draw(t, name) {
		case "keep":
			continue
		case "idle":
		case "access A":
			p = switchdrivers.Access(100)
		case "access B":
			p = switchdrivers.Access(101)
		case "trunk T1":
			p = switchdrivers.Trunk(100, switchdrivers.VLANs(101, 102))
		case "trunk T2":
			p = switchdrivers.Trunk(0, switchdrivers.VLANs(100, 103, 104, 105))
		case "any":
			p = drawPort(t)
		}
		want.Ports[name] = p
	}
	return want
}

// From any state to any other: what is read back is what was asked for, and nothing of the state before is left, not even where
// it does not show.
func TestEOSRoundTrips(t *testing.T) {
	eos, sw := startEOS(t, 4)
	if err := eos.Switch().Change(func(c *virtualswitch.Config) error {
		for _, name := range []string{"Ethernet3", "Ethernet4"} {
			p := c.Ports[name]
			p.ChannelGroup, p.ChannelMode = 7, "active"
			c.Ports[name] = p
		}
		c.Ports["Port-Channel7"] = virtualswitch.DefaultPort()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	d := open(t, platform(t, "arista_eos"), sw, switchdrivers.Environment{})
	if lag := mustRead(t, d).LAGs["Port-Channel7"]; !slices.Equal(lag.Members, []string{"Ethernet3", "Ethernet4"}) {
		t.Fatalf("the LAG is %+v", lag)
	}
	rapid.Check(t, func(rt *rapid.T) {
		before := mustRead(rt, d)
		want := drawState(rt, before, []string{"Ethernet1", "Ethernet2", "Port-Channel7"})
		change := switchdrivers.Diff(before, want)
		if err := d.Apply(t.Context(), change); err != nil {
			rt.Fatal(err)
		}
		if left := switchdrivers.Diff(mustRead(rt, d), want); !left.IsEmpty() {
			rt.Fatalf("left over: %+v", left)
		}
		running := eos.Switch().Running()
		for _, p := range change.Ports {
			got := running.Ports[p.Name]
			clean := virtualswitch.DefaultPort()
			if p.To.Mode == switchdrivers.ModeTrunk {
				if got.AccessVLAN != clean.AccessVLAN {
					rt.Fatalf("%s: the access VLAN %d is left", p.Name, got.AccessVLAN)
				}
			} else if got.NativeVLAN != clean.NativeVLAN || got.NativeTag || got.TrunkAllowed != clean.TrunkAllowed {
				rt.Fatalf("%s: a trunk is left: %+v", p.Name, got)
			}
		}
		for _, s := range eos.Switch().Sessions() {
			if s.State == virtualswitch.SessionPending {
				rt.Fatalf("the session %s is left", s.Name)
			}
		}
	})
	if n := eos.Counters().Logins; n != 1 {
		t.Errorf("%d logins", n)
	}
}

// Rule 5 of the guard: even line by line, with every line in force at once, an enabled port is never in a VLAN that it belongs
// to neither before nor after.
func TestEOSOrderIsSafeLineByLine(t *testing.T) {
	eos, sw := startEOS(t, 1)
	p := platform(t, "arista_eos")
	d := open(t, p, sw, switchdrivers.Environment{})
	carries := func(c virtualswitch.Config) switchdrivers.VLANSet {
		port := c.Ports["Ethernet1"]
		var set switchdrivers.VLANSet
		switch {
		case port.Shutdown || port.Routed:
		case port.Mode == virtualswitch.ModeAccess:
			set = switchdrivers.VLANs(switchdrivers.VLANID(port.AccessVLAN))
		default:
			for id := range 4095 {
				if port.TrunkAllowed.Has(id) {
					set = set.With(switchdrivers.VLANID(id))
				}
			}
		}
		return set
	}
	term, err := openTerminal(t.Context(), sw, switchdrivers.Environment{}, p.dialect)
	if err != nil {
		t.Fatal(err)
	}
	defer term.close()
	if _, err := term.run(t.Context(), "testing", []string{"configure terminal"}, time.Second); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []switchdrivers.VLANSet
	cancel := eos.Switch().OnChange(func(c virtualswitch.Change) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, carries(c.New))
	})
	defer cancel()
	rapid.Check(t, func(rt *rapid.T) {
		if rapid.Bool().Draw(rt, "routed") {
			_ = eos.Switch().Change(func(c *virtualswitch.Config) error {
				port := c.Ports["Ethernet1"]
				port.Routed = true
				c.Ports["Ethernet1"] = port
				return nil
			})
		}
		before := mustRead(rt, d)
		want := before.Clone()
		want.Ports["Ethernet1"] = drawPort(rt)
		allowed := carries(eos.Switch().Running()).Union(want.Ports["Ethernet1"].VLANs())
		script, err := p.dialect.render(switchdrivers.Diff(before, want), "x")
		if err != nil {
			rt.Fatal(err)
		}
		mu.Lock()
		seen = nil
		mu.Unlock()
		lines := texts(script, partBody)
		if _, err := term.run(t.Context(), "testing", lines, 5*time.Second); err != nil {
			rt.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, set := range seen {
			if foreign := set.Minus(allowed); !foreign.IsEmpty() {
				rt.Fatalf("for a moment the port carries %s, on the way from %q to %q:\n%s", foreign, before.Ports["Ethernet1"],
					want.Ports["Ethernet1"], strings.Join(lines, "\n"))
			}
		}
	})
}

// What a plan prints is what is sent, but for the suffix of the session's name.
func TestEOSSendsWhatIsRendered(t *testing.T) {
	eos, sw := startEOS(t, 2)
	var sent []string
	p := platform(t, "arista_eos")
	d := open(t, p, sw, switchdrivers.Environment{Trace: func(direction, text string) {
		if direction == "send" {
			sent = append(sent, text)
		}
	}})
	before := mustRead(t, d)
	want := before.Clone()
	want.VLANs[110] = switchdrivers.VLAN{Name: "net-a"}
	want.Ports["Ethernet1"], want.Ports["Ethernet2"] = switchdrivers.Access(110), switchdrivers.Trunk(0, switchdrivers.VLANs(110))
	change := switchdrivers.Diff(before, want)
	script, err := p.Render(change)
	if err != nil {
		t.Fatal(err)
	}
	var rendered []string
	for _, line := range script {
		rendered = append(rendered, line.Text)
	}
	if err := d.sweepNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent = nil
	if err := d.Apply(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	for i := range sent {
		sent[i] = regexp.MustCompile(`^(configure session switchbind)-[0-9a-f]+$`).ReplaceAllString(sent[i], "$1")
	}
	if diff := cmp.Diff(rendered, sent); diff != "" {
		t.Error(diff)
	}
	if err := d.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	eos.Reload()
	if left := switchdrivers.Diff(mustRead(t, d), want); !left.IsEmpty() {
		t.Errorf("lost at the reload: %+v", left)
	}
	words, err := d.Identify(t.Context())
	if err != nil || !strings.Contains(words, "4.32.2F") {
		t.Errorf("%q %v", words, err)
	}
}

// sweepNow does what the first Apply on a connection does before anything else.
func (d *driver) sweepNow(ctx context.Context) error {
	_, err := d.with(ctx, func(l line) error { return l.(*shellLine).sweep(ctx) })
	return err
}

func pendingSessions(eos *virtualswitch.EOS) (n int) {
	for _, s := range eos.Switch().Sessions() {
		if s.State == virtualswitch.SessionPending {
			n++
		}
	}
	return n
}

// Somebody else changes the switch while our session is open: a commit would undo that, so there is none.
func TestEOSSomebodyElse(t *testing.T) {
	for name, meddle := range map[string]func(*virtualswitch.Config){
		"our port": func(c *virtualswitch.Config) {
			p := c.Ports["Ethernet1"]
			p.AccessVLAN = 666
			c.Ports["Ethernet1"] = p
		},
		"another port": func(c *virtualswitch.Config) {
			p := c.Ports["Ethernet2"]
			p.Description = "mine"
			c.Ports["Ethernet2"] = p
		},
		"a VLAN": func(c *virtualswitch.Config) { c.VLANs[666] = virtualswitch.VLAN{Name: "evil"} },
	} {
		t.Run(name, func(t *testing.T) {
			eos, sw := startEOS(t, 3)
			var once sync.Once
			var edited virtualswitch.Config
			d := open(t, platform(t, "arista_eos"), sw, switchdrivers.Environment{Trace: func(direction, text string) {
				if direction != "send" || !strings.HasPrefix(text, "interface ") {
					return
				}
				once.Do(func() {
					_ = eos.Switch().Change(func(c *virtualswitch.Config) error { meddle(c); return nil })
					edited = eos.Switch().Running()
				})
			}})
			before := mustRead(t, d)
			want := before.Clone()
			want.Ports["Ethernet1"] = switchdrivers.Access(110)
			err := d.Apply(t.Context(), switchdrivers.Diff(before, want))
			var busy *switchdrivers.BusyError
			if !errors.As(err, &busy) {
				t.Fatalf("got %v", err)
			}
			if !eos.Switch().Running().Equal(edited) || pendingSessions(eos) != 0 {
				t.Error("the switch is not as the other one left it")
			}
			// With the change computed anew it goes through, and keeps what the other one did.
			before = mustRead(t, d)
			if err := d.Apply(t.Context(), to2("Ethernet1", before.Ports["Ethernet1"], switchdrivers.Access(110))); err != nil {
				t.Error(err)
			}
			if name == "another port" && eos.Switch().Running().Ports["Ethernet2"].Description != "mine" {
				t.Error("the other's change is lost")
			}
		})
	}
}

func to2(port string, from, to switchdrivers.Port) switchdrivers.Change {
	return switchdrivers.Change{Ports: []switchdrivers.PortChange{{Name: port, From: from, To: to}}}
}

// Sessions that a crash left behind are ended; those of other people are not.
func TestEOSStaleSessions(t *testing.T) {
	eos, sw := startEOS(t, 1)
	for _, name := range []string{"switchbind-0a1b2c3d", "switchbind-11111111", "sess-1", "alice", "switchbindings"} {
		if err := eos.Switch().OpenSession(name); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, platform(t, "arista_eos"), sw, switchdrivers.Environment{})
	before := mustRead(t, d)
	if err := d.Apply(t.Context(), to2("Ethernet1", before.Ports["Ethernet1"], switchdrivers.Access(110))); err != nil {
		t.Fatal(err)
	}
	var pending []string
	for _, s := range eos.Switch().Sessions() {
		if s.State == virtualswitch.SessionPending {
			pending = append(pending, s.Name)
		}
	}
	slices.Sort(pending)
	if !slices.Equal(pending, []string{"alice", "sess-1", "switchbindings"}) {
		t.Errorf("left are %q", pending)
	}
}

// One bad apple of 64: it alone is named, and without it the others go through at once.
func TestEOSOneBadApple(t *testing.T) {
	eos, sw := startEOS(t, 64)
	d := open(t, platform(t, "arista_eos"), sw, switchdrivers.Environment{})
	before := mustRead(t, d)
	want := before.Clone()
	want.VLANs[110] = switchdrivers.VLAN{}
	for name := range before.Ports {
		want.Ports[name] = switchdrivers.Access(110)
	}
	change := switchdrivers.Diff(before, want)
	eos.SetFaults(virtualswitch.Faults{RefuseLine: regexp.MustCompile(`^interface Ethernet(7|33)$`)})
	err := d.Apply(t.Context(), change)
	var refused *switchdrivers.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v", err)
	}
	bad := map[string]bool{}
	for _, r := range refused.Rejections {
		bad[r.Port] = true
	}
	if !maps.Equal(bad, map[string]bool{"Ethernet7": true, "Ethernet33": true}) || len(refused.Rejections) != 2 {
		t.Fatalf("%+v", refused.Rejections)
	}
	if err := d.Apply(t.Context(), change.Without(bad)); err != nil {
		t.Fatal(err)
	}
	eos.SetFaults(virtualswitch.Faults{})
	if left := switchdrivers.Diff(mustRead(t, d), want); len(left.Ports) != 2 || !left.Ports[0].From.Equal(before.Ports["Ethernet7"]) {
		t.Errorf("left over: %+v", left)
	}
}

// A port's first rejected line is its rejection; what follows stands in a context that was not meant for it.
func TestEOSFirstRejectionCounts(t *testing.T) {
	eos, sw := startEOS(t, 1)
	d := open(t, platform(t, "arista_eos"), sw, switchdrivers.Environment{})
	before := mustRead(t, d)
	eos.SetFaults(virtualswitch.Faults{RefuseLine: regexp.MustCompile(`switchport`), RefuseText: "% Error: no"})
	err := d.Apply(t.Context(), to2("Ethernet1", before.Ports["Ethernet1"], switchdrivers.Access(110)))
	want := &switchdrivers.RefusedError{Switch: "leaf1", Rejections: []switchdrivers.Rejection{
		{Port: "Ethernet1", Line: "switchport access vlan 110", Words: "% Error: no"}}}
	var refused *switchdrivers.RefusedError
	if !errors.As(err, &refused) || !cmp.Equal(refused, want) {
		t.Errorf("got %+v", err)
	}
}
