package gnmi_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/switchbind/switchbind/fixtures/virtualswitch"
	"github.com/switchbind/switchbind/fixtures/virtualswitch/gnmiserver"
	"github.com/switchbind/switchbind/switchdrivers"
	"github.com/switchbind/switchbind/switchdrivers/gnmi"
)

// lab is a virtual switch behind its gNMI server, and a driver that talks to it over mutual TLS with a password.
type lab struct {
	sw     *virtualswitch.Switch
	server *gnmiserver.Server
	driver switchdrivers.Driver
}

// newLab's switch of 8 ports has Ethernet7 and Ethernet8 in Port-Channel1.
func newLab(t testing.TB, ports int, options gnmiserver.Options) *lab {
	t.Helper()
	l := &lab{sw: virtualswitch.New(virtualswitch.Options{Name: "leaf1", Ports: virtualswitch.EthernetPorts(ports)})}
	if ports == 8 {
		err := l.sw.Change(func(c *virtualswitch.Config) error {
			c.Ports[virtualswitch.PortChannel(1)] = virtualswitch.DefaultPort()
			for _, member := range []string{"Ethernet7", "Ethernet8"} {
				c.EditPort(member, func(p *virtualswitch.PortConfig) { p.ChannelGroup, p.ChannelMode = 1, "active" })
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	options.Username, options.Password, options.RequireClientCert = "admin", "s3cret", true
	l.server = gnmiserver.New(l.sw, options)
	address, err := l.server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.server.Close)
	cert, key, err := l.server.ClientCertificate("switchbind")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	l.driver, err = gnmi.OpenConfig().Open(switchdrivers.Switch{
		Name: "leaf1", Address: address.String(), Driver: "gnmi", Dialect: "openconfig",
		Credentials: switchdrivers.Credentials{Username: "admin", PasswordFile: file("password", []byte("s3cret\n"))},
		TLS: switchdrivers.TLS{CA: file("ca.pem", l.server.CA()), Cert: file("cert.pem", cert), Key: file("key.pem", key),
			MinVersion: "1.3"},
		Timeouts: switchdrivers.Timeouts{Connect: 10 * time.Second, Command: 10 * time.Second, Commit: 10 * time.Second},
	}, switchdrivers.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.driver.Close() })
	return l
}

type failer interface {
	Helper()
	Fatal(args ...any)
}

func (l *lab) read(t failer, ports ...string) switchdrivers.State {
	t.Helper()
	state, err := l.driver.Read(context.Background(), switchdrivers.Scope{Ports: ports})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func set(text string) switchdrivers.VLANSet {
	s, err := switchdrivers.ParseVLANSet(text)
	if err != nil {
		panic(err)
	}
	return s
}

func described(p switchdrivers.Port, text string) switchdrivers.Port {
	p.Description = text
	return p
}

func shut(p switchdrivers.Port) switchdrivers.Port {
	p.Enabled = false
	return p
}

var kinds = []switchdrivers.Port{
	switchdrivers.Idle(), switchdrivers.Access(110), switchdrivers.Access(120), shut(switchdrivers.Access(110)),
	switchdrivers.Trunk(0, set("110,120")), switchdrivers.Trunk(110, set("120,200-210")), switchdrivers.Trunk(120, switchdrivers.VLANSet{}),
	described(switchdrivers.Access(120), `switchbind "b"`), described(switchdrivers.Idle(), "idle"), switchdrivers.Trunk(0, set("2-4094")),
}

// untagged is the VLAN of a port's untagged frames, 0 when it takes none.
func untagged(p switchdrivers.Port) switchdrivers.VLANID {
	switch {
	case !p.Enabled:
		return 0
	case p.Mode == switchdrivers.ModeAccess:
		return p.AccessVLAN
	}
	return p.NativeVLAN
}

// From any state to any other, ports, LAGs, VLANs and names, on targets with different habits: it reads back as asked for, the
// switch's own model agrees, and frames go where they should and nowhere else.
func TestAnyTransitionOnAVirtualSwitch(t *testing.T) {
	var habits []*transitions
	for _, options := range []gnmiserver.Options{{}, {RefuseGetTypes: true}, {EmptyForAbsent: true}, {OmitDefaults: true}} {
		habits = append(habits, newTransitions(t, options))
	}
	rapid.Check(t, func(t *rapid.T) { rapid.SampledFrom(habits).Draw(t, "target").step(t) })
}

// transitions is a switch with hosts: untagged ones at the ports that change, one in the default VLAN at a port that nobody
// touches, and one that is tagged into VLAN 120.
type transitions struct {
	*lab
	hosts             map[string]*virtualswitch.Host
	bystander, tagged *virtualswitch.Host
	untouched         virtualswitch.PortConfig
}

func (*transitions) String() string { return "lab" }

func newTransitions(t *testing.T, options gnmiserver.Options) *transitions {
	s := &transitions{lab: newLab(t, 8, options)}
	fabric := virtualswitch.NewFabric()
	host := func(name string, vlan int, ports ...string) *virtualswitch.Host {
		var links []virtualswitch.Attachment
		for _, port := range ports {
			links = append(links, virtualswitch.Attachment{Switch: s.sw, Port: port})
		}
		h, err := fabric.AddHost(virtualswitch.HostOptions{Name: name, VLAN: vlan, Links: links})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	s.hosts = map[string]*virtualswitch.Host{
		"Ethernet1": host("one", 0, "Ethernet1"), "Ethernet2": host("two", 0, "Ethernet2"), "Ethernet3": host("three", 0, "Ethernet3"),
		"Port-Channel1": host("bond", 0, "Ethernet7", "Ethernet8"),
	}
	s.bystander = host("bystander", 0, "Ethernet6")
	s.tagged = host("tagged", 120, "Ethernet5")
	s.untouched = s.sw.Running().Ports["Ethernet6"]
	return s
}

// step changes everything to something else.
func (s *transitions) step(t *rapid.T) {
	have := s.read(t)
	want := switchdrivers.State{VLANs: map[switchdrivers.VLANID]switchdrivers.VLAN{1: have.VLANs[1]}, Ports: map[string]switchdrivers.Port{}}
	for _, port := range slices.Sorted(maps.Keys(s.hosts)) {
		want.Ports[port] = rapid.SampledFrom(kinds).Draw(t, port)
		for id := range want.Ports[port].VLANs().All() {
			if id <= 210 {
				want.VLANs[id] = switchdrivers.VLAN{Name: rapid.SampledFrom([]string{"", "tenant", "other"}).Draw(t, "name")}
			}
		}
	}
	want.Ports["Ethernet5"], want.VLANs[120] = switchdrivers.Trunk(0, set("120")), switchdrivers.VLAN{Name: "b"}
	change, before := switchdrivers.Diff(have, want), s.server.Counters()
	if err := s.driver.Apply(context.Background(), change); err != nil {
		t.Fatal(err)
	}
	if n := s.server.Counters().Sets - before.Sets; !change.IsEmpty() && n != 1 {
		t.Fatalf("%d Sets", n)
	}
	got := s.read(t)
	if again := switchdrivers.Diff(got, want); !again.IsEmpty() {
		t.Fatalf("still to do after %+v:\n%+v", change, again)
	}
	some := s.read(t, "Ethernet1", "Port-Channel1")
	for _, port := range []string{"Ethernet1", "Port-Channel1"} {
		if !cmp.Equal(some.Ports[port], got.Ports[port]) {
			t.Fatalf("%s alone reads %+v, all reads %+v", port, some.Ports[port], got.Ports[port])
		}
	}
	if !cmp.Equal(some.LAGs, got.LAGs) || !cmp.Equal(some.VLANs, got.VLANs) {
		t.Fatalf("LAGs %v, VLANs %v; of all %v, %v", some.LAGs, some.VLANs, got.LAGs, got.VLANs)
	}
	s.look(t, want)
}

// look compares the switch's own model and its frames with what was wanted.
func (s *transitions) look(t *rapid.T, want switchdrivers.State) {
	running := s.sw.Running()
	if !running.Ports["Ethernet6"].Equal(s.untouched) {
		t.Fatalf("a port that is not ours was changed: %+v", running.Ports["Ethernet6"])
	}
	for a, from := range s.hosts {
		if running.Ports[a].Shutdown == want.Ports[a].Enabled {
			t.Fatalf("%s: the switch says %+v", a, running.Ports[a])
		}
		if from.Ping(s.bystander) {
			t.Fatalf("%s, which is %q, reaches the default VLAN", a, want.Ports[a])
		}
		if joins := untagged(want.Ports[a]) == 120; s.tagged.Ping(from) != joins {
			t.Fatalf("%s, which is %q: reached by VLAN 120 must be %v", a, want.Ports[a], joins)
		}
		for b, other := range s.hosts {
			va, vb := untagged(want.Ports[a]), untagged(want.Ports[b])
			if a != b && from.Ping(other) != (va != 0 && va == vb) {
				t.Fatalf("%s %q and %s %q: wrong", a, want.Ports[a], b, want.Ports[b])
			}
		}
	}
}

func TestReadOnAVirtualSwitch(t *testing.T) {
	l := newLab(t, 8, gnmiserver.Options{})
	err := l.sw.Change(func(c *virtualswitch.Config) error {
		c.EditPort("Ethernet1", func(p *virtualswitch.PortConfig) { p.Routed = true })
		c.EditPort("Ethernet2", func(p *virtualswitch.PortConfig) { p.Mode = virtualswitch.ModeTrunk })
		c.EditPort("Ethernet3", func(p *virtualswitch.PortConfig) { p.AccessVLAN = 300 })
		c.EditPort("Ethernet4", func(p *virtualswitch.PortConfig) { p.Shutdown = true })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	state := l.read(t)
	for port, want := range map[string]switchdrivers.Port{
		"Ethernet2":     switchdrivers.Trunk(1, switchdrivers.AllVLANs()),
		"Ethernet4":     switchdrivers.Idle(),
		"Ethernet5":     switchdrivers.Access(1),
		"Ethernet7":     {Enabled: true, LAG: "Port-Channel1"},
		"Port-Channel1": switchdrivers.Access(1),
		"Ethernet1":     {Enabled: true, Mode: switchdrivers.ModeRouted},
	} {
		if diff := cmp.Diff(want, state.Ports[port]); diff != "" {
			t.Errorf("%s: %s", port, diff)
		}
	}
	if state.Ports["Ethernet3"].Problem == "" {
		t.Error("Ethernet3 is in a VLAN that does not exist, and nothing says so")
	}
	if diff := cmp.Diff(map[string]switchdrivers.LAG{"Port-Channel1": {Members: []string{"Ethernet7", "Ethernet8"}}}, state.LAGs); diff != "" {
		t.Error(diff)
	}
	some := l.read(t, "Ethernet5", "Ethernet99")
	if _, ok := some.Ports["Ethernet99"]; ok || some.Ports["Ethernet5"].AccessVLAN != 1 {
		t.Errorf("an absent port hides the others: %v", some.Ports)
	}
}

func TestFaultsOnAVirtualSwitch(t *testing.T) {
	change := switchdrivers.Change{
		VLANs: []switchdrivers.VLANChange{{ID: 110, To: &switchdrivers.VLAN{Name: "a"}}},
		Ports: []switchdrivers.PortChange{{Name: "Ethernet1", To: switchdrivers.Access(110)}, {Name: "Ethernet2", To: switchdrivers.Access(110)}},
	}
	var unreachable *switchdrivers.UnreachableError
	var busy *switchdrivers.BusyError
	var refused *switchdrivers.RefusedError
	for _, c := range []struct {
		name    string
		faults  gnmiserver.Faults
		target  any
		applied bool
	}{
		{"locked", gnmiserver.Faults{Locked: "a commit confirmation is pending"}, &busy, false},
		{"unavailable", gnmiserver.Faults{Unavailable: 1}, &unreachable, false},
		{"too many requests", gnmiserver.Faults{PerMinute: 1}, &busy, false},
		{"one port refused", gnmiserver.Faults{Reject: []gnmiserver.Rejection{
			{Path: regexp.MustCompile(`interface\[name=Ethernet2\]`), Text: "Ethernet2 is owned by somebody else"}}}, &refused, false},
		{"dropped before", gnmiserver.Faults{DropBeforeApply: 1}, &unreachable, false},
		{"dropped after", gnmiserver.Faults{DropAfterApply: 1}, &unreachable, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, 4, gnmiserver.Options{})
			l.read(t)
			l.server.SetFaults(c.faults)
			if c.faults.PerMinute > 0 { // use them up
				_, _ = l.driver.(switchdrivers.Pinger).Identify(t.Context())
			}
			err := l.driver.Apply(t.Context(), change)
			if !errors.As(err, c.target) {
				t.Fatalf("got %v", err)
			}
			if c.target == any(&refused) && refused.Rejections[0].Port != "Ethernet2" {
				t.Errorf("blamed %+v", refused.Rejections)
			}
			if got := l.sw.Running().Ports["Ethernet1"].AccessVLAN == 110; got != c.applied {
				t.Errorf("applied %v, want %v", got, c.applied)
			}
			l.server.SetFaults(gnmiserver.Faults{})
			if err := l.driver.Apply(t.Context(), change); err != nil {
				t.Fatalf("and well again: %v", err)
			}
			if got := l.read(t).Ports["Ethernet2"]; !got.Equal(switchdrivers.Access(110)) {
				t.Errorf("reads %+v", got)
			}
		})
	}
	t.Run("answers OK and does nothing", func(t *testing.T) {
		l := newLab(t, 4, gnmiserver.Options{})
		l.server.SetFaults(gnmiserver.Faults{Ignore: []string{"Ethernet2"}})
		if err := l.driver.Apply(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if got := l.read(t); got.Ports["Ethernet2"].Equal(switchdrivers.Access(110)) || !got.Ports["Ethernet1"].Equal(switchdrivers.Access(110)) {
			t.Errorf("reads %+v", got.Ports)
		}
	})
	t.Run("cut while idle", func(t *testing.T) {
		l := newLab(t, 4, gnmiserver.Options{})
		l.read(t)
		l.server.CutConnections()
		for range 3 { // gRPC connects again by itself, or the driver does on the next call
			if _, err := l.driver.Read(t.Context(), switchdrivers.Scope{}); err == nil {
				return
			} else if !errors.As(err, &unreachable) {
				t.Fatal(err)
			}
		}
		t.Error("never came back")
	})
}

// 64 ports of one change: one Set, and one Get to read them back.
func TestSixtyFourPortsAreOneSetAndOneGet(t *testing.T) {
	l := newLab(t, 64, gnmiserver.Options{})
	change, ports := burst(64)
	l.read(t, ports[0])
	before := l.server.Counters()
	if err := l.driver.Apply(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	state := l.read(t, ports...)
	after := l.server.Counters()
	if after.Sets-before.Sets != 1 || after.Gets-before.Gets != 1 || after.Capabilities != before.Capabilities {
		t.Errorf("%d Sets, %d Gets, %d Capabilities", after.Sets-before.Sets, after.Gets-before.Gets, after.Capabilities-before.Capabilities)
	}
	for _, c := range change.Ports {
		if !state.Ports[c.Name].Equal(c.To) || state.Ports[c.Name].Problem != "" {
			t.Errorf("%s reads %+v", c.Name, state.Ports[c.Name])
		}
	}
}

func burst(n int) (change switchdrivers.Change, ports []string) {
	for i := range n {
		id := switchdrivers.VLANID(100 + i)
		change.VLANs = append(change.VLANs, switchdrivers.VLANChange{ID: id, To: &switchdrivers.VLAN{Name: fmt.Sprint("net-", id)}})
		change.Ports = append(change.Ports, switchdrivers.PortChange{Name: "Ethernet" + strconv.Itoa(i+1), To: switchdrivers.Access(id)})
		ports = append(ports, "Ethernet"+strconv.Itoa(i+1))
	}
	return change, ports
}

// What a change of 1, 8 and 64 ports with a VLAN each costs: RPCs, bytes of protobuf, and time on loopback.
func BenchmarkVirtualSwitch(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(n)+" ports", func(b *testing.B) {
			l := newLab(b, 64, gnmiserver.Options{})
			change, ports := burst(n)
			l.read(b, ports[0])
			before, rounds := l.server.Counters(), 0
			for b.Loop() {
				rounds++
				if err := l.driver.Apply(b.Context(), change); err != nil {
					b.Fatal(err)
				}
				l.read(b, ports...)
			}
			after := l.server.Counters()
			per := func(n int64) float64 { return float64(n) / float64(rounds) }
			b.ReportMetric(per(after.Sets-before.Sets), "Sets/op")
			b.ReportMetric(per(after.Gets-before.Gets), "Gets/op")
			b.ReportMetric(per(after.Received-before.Received), "sent-bytes/op")
			b.ReportMetric(per(after.Sent-before.Sent), "received-bytes/op")
		})
	}
}
