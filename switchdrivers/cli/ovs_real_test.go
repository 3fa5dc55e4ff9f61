package cli_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/switchbind/switchbind/fixtures/openvswitch"
	"github.com/switchbind/switchbind/switchdrivers"
	"github.com/switchbind/switchbind/switchdrivers/cli"
)

// The dialect openvswitch against a real Open vSwitch behind a real OpenSSH server. What a port does is judged three times: by
// the driver's own read-back, by ovs-vsctl beside it, and by what hosts hear.

func ovsPlatform(t *testing.T) switchdrivers.Platform {
	t.Helper()
	registry := switchdrivers.Registry{}
	if err := cli.Register(registry); err != nil {
		t.Fatal(err)
	}
	platform, err := registry.Find(cli.Driver, "openvswitch")
	if err != nil {
		t.Fatal(err)
	}
	return platform
}

// realSwitch is how an operator would describe the site's switch.
func realSwitch(s *openvswitch.Site) switchdrivers.Switch {
	return switchdrivers.Switch{
		Name: "leaf1", Address: s.Address(), Driver: cli.Driver, Dialect: "openvswitch",
		Credentials: switchdrivers.Credentials{Username: s.User(), KeyFile: s.KeyFile()},
		HostKey:     switchdrivers.HostKey{Fingerprints: []string{s.Fingerprint()}},
		Timeouts: switchdrivers.Timeouts{Connect: 10 * time.Second, Command: 20 * time.Second, Commit: 20 * time.Second,
			Idle: time.Minute},
	}
}

func openReal(t *testing.T, sw switchdrivers.Switch, env switchdrivers.Environment) switchdrivers.Driver {
	t.Helper()
	driver, err := ovsPlatform(t).Open(sw, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := driver.Close(); err != nil {
			t.Error(err)
		}
	})
	return driver
}

func readReal(t *testing.T, driver switchdrivers.Driver) switchdrivers.State {
	t.Helper()
	state, err := driver.Read(t.Context(), switchdrivers.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// moveTo makes the ports so, and fails unless they read back as asked.
func moveTo(t *testing.T, driver switchdrivers.Driver, want map[string]switchdrivers.Port) {
	t.Helper()
	change := switchdrivers.Diff(readReal(t, driver), switchdrivers.State{Ports: want})
	if err := driver.Apply(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	got := readReal(t, driver)
	for name, port := range want {
		if got.Ports[name].String() != port.String() || !got.Ports[name].Equal(port) {
			t.Fatalf("%s reads back as %q, wanted %q", name, got.Ports[name], port)
		}
		if problem := got.Ports[name].Problem; problem != "" {
			t.Fatalf("%s: %s", name, problem)
		}
	}
}

// columns are what a port must have in the database.
func columns(p switchdrivers.Port) openvswitch.PortConfig {
	ids := func(set switchdrivers.VLANSet) (list []int) {
		for id := range set.All() {
			list = append(list, int(id))
		}
		return list
	}
	switch {
	case !p.Enabled || p.VLANs().IsEmpty():
		return openvswitch.PortConfig{VLANMode: "trunk", Tag: -1, Trunks: []int{4095}}
	case p.Mode == switchdrivers.ModeAccess:
		return openvswitch.PortConfig{VLANMode: "access", Tag: int(p.AccessVLAN)}
	case p.NativeVLAN != 0:
		return openvswitch.PortConfig{VLANMode: "native-untagged", Tag: int(p.NativeVLAN), Trunks: ids(p.VLANs())}
	}
	return openvswitch.PortConfig{VLANMode: "trunk", Tag: -1, Trunks: ids(p.TaggedVLANs)}
}

func checkColumns(t *testing.T, s *openvswitch.Site, name string, p switchdrivers.Port) {
	t.Helper()
	if got, want := s.Config(name).String(), columns(p).String(); got != want {
		t.Fatalf("%s is %s, not %s", name, got, want)
	}
}

// shapes are what a port is moved between.
func shapes() []switchdrivers.Port {
	vlans := switchdrivers.VLANs
	shut := switchdrivers.Access(10)
	shut.Enabled = false
	described := switchdrivers.Access(10)
	described.Description = "switchbind b16e0dcd-67e8-4442-9a66-4d1692f5846f tenant-a"
	return []switchdrivers.Port{
		switchdrivers.Idle(),
		switchdrivers.Access(10),
		switchdrivers.Access(20),
		switchdrivers.Trunk(0, vlans(10, 20)),
		switchdrivers.Trunk(10, vlans(20, 30)),
		switchdrivers.Trunk(20, vlans()),
		switchdrivers.Trunk(0, vlans()),
		shut,
		described,
	}
}

func TestOVSEveryTransitionIsExactInPings(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	server := s.Hypervisor("server", "eth1") // one cable, whatever the tag
	inside := map[int]*openvswitch.Host{
		0:  server.VM("untagged", 0, "10.0.0.1"),
		10: server.VM("tagged10", 10, "10.0.0.2"),
		20: server.VM("tagged20", 20, "10.0.0.3"),
		30: server.VM("tagged30", 30, "10.0.0.4"),
	}
	outside := map[int]*openvswitch.Host{}
	for i, vlan := range []int{10, 20, 30} {
		port := fmt.Sprintf("eth%d", vlan)
		outside[vlan] = s.Host(fmt.Sprintf("peer%d", vlan), port, fmt.Sprintf("10.0.0.%d", 11+i))
		s.Vsctl("set", "Port", port, "vlan_mode=access", fmt.Sprintf("tag=%d", vlan))
	}
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	for step, i := range walk(12, len(shapes())) {
		port := shapes()[i]
		moveTo(t, driver, map[string]switchdrivers.Port{"eth1": port})
		checkColumns(t, s, "eth1", port)
		if err := s.Expect(t.Context(), segmentsOf(port, inside, outside)...); err != nil {
			t.Fatalf("step %d, eth1 is %v: %v", step, port, err)
		}
	}
}

// segmentsOf says who must reach whom when the cable's port is so.
func segmentsOf(p switchdrivers.Port, inside, outside map[int]*openvswitch.Host) [][]*openvswitch.Host {
	var segments [][]*openvswitch.Host
	joined := map[*openvswitch.Host]bool{}
	for vlan, peer := range outside {
		segment := []*openvswitch.Host{peer}
		id := switchdrivers.VLANID(vlan)
		switch {
		case !p.Enabled:
		case p.AccessVLAN == id || p.NativeVLAN == id:
			segment = append(segment, inside[0])
		case p.TaggedVLANs.Contains(id):
			segment = append(segment, inside[vlan])
		}
		for _, host := range segment[1:] {
			joined[host] = true
		}
		segments = append(segments, segment)
	}
	for _, host := range inside {
		if !joined[host] {
			segments = append(segments, []*openvswitch.Host{host})
		}
	}
	return segments
}

// walk is a fixed pseudo-random walk over n shapes that first visits each and never stays.
func walk(steps, n int) []int {
	random := rand.New(rand.NewPCG(20261122, 2))
	path := random.Perm(n)
	for len(path) < steps {
		if next := random.IntN(n); next != path[len(path)-1] {
			path = append(path, next)
		}
	}
	return path[:steps]
}

// While everybody shouts, a host behind a port that moves about hears nothing but the VLANs that its port is in before or after,
// not even in between, and is heard by nobody else.
func TestOVSNoTransitionLeaksAFrame(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	iron := s.Host("iron", "eth1", "10.0.0.1")
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	moveTo(t, driver, map[string]switchdrivers.Port{"eth1": switchdrivers.Idle()})

	peers := map[int]*openvswitch.Host{}
	witness := map[int]*openvswitch.Frames{} // of a second host in each VLAN: what it heard, iron has heard or never will
	atPeer := map[int]*openvswitch.Frames{}
	for i, vlan := range []int{10, 20, 30} {
		tag := fmt.Sprintf("tag=%d", vlan)
		for j, kind := range []string{"peer", "witness"} {
			name := fmt.Sprintf("%s%d", kind, vlan)
			host := s.Host(name, name, fmt.Sprintf("10.0.0.%d", 10+2*i+j))
			s.Vsctl("set", "Port", name, "vlan_mode=access", tag)
			if kind == "peer" {
				peers[vlan], atPeer[vlan] = host, host.Listen()
			} else {
				witness[vlan] = host.Listen()
			}
		}
	}
	atIron := iron.Listen()
	for _, peer := range peers {
		peer.Shout(2*time.Millisecond, 0)
	}
	iron.Shout(2*time.Millisecond, 0, 10, 20, 30, 4095)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	settle := func() { // when the witnesses have heard what was sent from now on, the rest was delivered, too, or never will be
		s.Settle()
		for vlan, peer := range peers {
			if err := witness[vlan].Await(ctx, peer, witness[vlan].From(peer)+10); err != nil {
				t.Fatal(err)
			}
		}
		atIron.Flush()
		for _, frames := range atPeer {
			frames.Flush()
		}
	}
	heard := func() (counts map[int][2]int) {
		counts = map[int][2]int{}
		for vlan, peer := range peers {
			counts[vlan] = [2]int{atIron.From(peer), atPeer[vlan].From(iron)}
		}
		return counts
	}
	settle()
	before, start := switchdrivers.Idle(), heard()
	for step, i := range walk(60, len(shapes())) {
		after := shapes()[i]
		moveTo(t, driver, map[string]switchdrivers.Port{"eth1": after})
		settle()
		end := heard()
		for vlan := range peers {
			id := switchdrivers.VLANID(vlan)
			may := forwards(before, id) || forwards(after, id)
			in, out := end[vlan][0]-start[vlan][0], end[vlan][1]-start[vlan][1]
			if !may && (in > 0 || out > 0) {
				t.Fatalf("step %d, %v to %v: %d frames from VLAN %d and %d into it", step, before, after, in, vlan, out)
			}
			if forwards(after, id) {
				if err := atIron.Await(ctx, peers[vlan], end[vlan][0]+1); err != nil {
					t.Fatalf("step %d, %v to %v: %v", step, before, after, err)
				}
			}
		}
		before, start = after, heard()
	}
}

func forwards(p switchdrivers.Port, vlan switchdrivers.VLANID) bool {
	return p.Enabled && p.VLANs().Contains(vlan)
}

func TestOVSIdlePortsDoNotReachEachOther(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	a, b := s.Host("a", "eth1", "10.0.0.1"), s.Host("b", "eth2", "10.0.0.2")
	c, d := s.Host("c", "eth3", "10.0.0.3"), s.Host("d", "eth4", "10.0.0.4")
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	shut := switchdrivers.Trunk(10, switchdrivers.VLANs(20))
	shut.Enabled = false
	moveTo(t, driver, map[string]switchdrivers.Port{"eth1": switchdrivers.Idle(), "eth2": switchdrivers.Idle(),
		"eth3": shut, "eth4": switchdrivers.Trunk(0, switchdrivers.VLANs())})
	hosts := []*openvswitch.Host{a, b, c, d}
	var ears []*openvswitch.Frames
	for _, host := range hosts {
		ears = append(ears, host.Listen())
	}
	for _, host := range hosts {
		host.Shout(time.Millisecond, 0, 1, 10, 20, 4094, 4095)
	}
	if got := s.Reach(t.Context(), hosts...); len(got) != 0 { // a second of shouting
		t.Errorf("pings: %v", got)
	}
	for i, ear := range ears {
		for j, host := range hosts {
			if n := ear.From(host); i != j && n != 0 {
				t.Errorf("%s heard %d frames of %s, %d of them tagged 4095", hosts[i].Name, n, host.Name, ear.Tagged(host, 4095))
			}
		}
	}

	moveTo(t, driver, map[string]switchdrivers.Port{"eth3": switchdrivers.Access(10), "eth4": switchdrivers.Access(10)})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := ears[2].Await(ctx, d, 1); err != nil { // or the silence above proves nothing
		t.Error(err)
	}
	s.Vsctl("set", "Port", "eth2", "protected=false") // somebody meddles
	if got := readReal(t, driver).Ports["eth2"]; got.Equal(switchdrivers.Idle()) || got.Problem == "" {
		t.Errorf("a closed port that is not protected reads as %v, problem %q", got, got.Problem)
	}
}

func TestOVSOneChangeIsOneTransactionOverOneLogin(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	const ports = 24
	want := map[string]switchdrivers.Port{}
	for i := range ports {
		name := fmt.Sprintf("eth%d", i)
		s.AddPort("br0", name, "--", "set", "Interface", name, "type=internal")
		want[name] = shapes()[i%len(shapes())]
	}
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	before := readReal(t, driver)
	calls := len(s.Commands())
	if err := driver.Apply(t.Context(), switchdrivers.Diff(before, switchdrivers.State{Ports: want})); err != nil {
		t.Fatal(err)
	}
	if err := driver.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Commands()) - calls; n != 1 {
		t.Errorf("%d calls of ovs-vsctl for one change", n)
	}
	if s.Logins() != 1 {
		t.Errorf("%d logins", s.Logins())
	}
	got := readReal(t, driver)
	for name, port := range want {
		if !got.Ports[name].Equal(port) {
			t.Errorf("%s is %v, not %v", name, got.Ports[name], port)
		}
		checkColumns(t, s, name, port)
	}
	if again := switchdrivers.Diff(got, switchdrivers.State{Ports: want}); !again.IsEmpty() {
		t.Errorf("a verified state differs from itself: %+v", again)
	}
}

func TestOVSBondsAreLAGs(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	iron := s.Host("iron", "eth1", "10.0.0.1")
	hv := s.BondedHypervisor("hv1", "bond0", [2]string{"eth10", "eth11"})
	vm := hv.VM("vm", 10, "10.0.0.2")
	other := hv.VM("other", 20, "10.0.0.3")
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	state := readReal(t, driver)
	if got := state.LAGs["bond0"].Members; !slices.Equal(got, []string{"eth10", "eth11"}) {
		t.Errorf("members of bond0: %v", got)
	}
	if state.LAGOf("eth11") != "bond0" {
		t.Errorf("eth11 is in %q", state.LAGOf("eth11"))
	}
	moveTo(t, driver, map[string]switchdrivers.Port{"eth1": switchdrivers.Access(10),
		"bond0": switchdrivers.Trunk(0, switchdrivers.VLANs(10, 30))})
	if err := s.Expect(t.Context(), []*openvswitch.Host{iron, vm}, []*openvswitch.Host{other}); err != nil {
		t.Error(err)
	}
}

func TestOVSReadsAWipedSwitchAsItIs(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	s.Host("a", "eth1", "10.0.0.1")
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	moveTo(t, driver, map[string]switchdrivers.Port{"eth1": switchdrivers.Access(10)})
	s.Wipe()
	got := readReal(t, driver).Ports["eth1"]
	if !got.Enabled || !got.VLANs().Equal(switchdrivers.AllVLANs()) {
		t.Errorf("a port without configuration passes everything, but reads as %v", got)
	}
	if got.Problem == "" {
		t.Error("untagged frames are carried, too, and nothing says so")
	}
}
