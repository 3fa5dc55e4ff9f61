package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/switchbind/switchbind/switchdrivers"
)

const ovsInterfaces = `{"data":[[["uuid","u1"],"eth1"],[["uuid","u2"],"eth2"],[["uuid","u3"],"eth3"],[["uuid","u4"],"br0"]],"headings":["_uuid","name"]}
{"data":[["br0"]],"headings":["name"]}
`

// ovsPorts is the read-back of one port called eth1 with the given columns. It is protected when it is closed, as it should be.
func ovsPorts(mode, tag, trunks, ids string) string {
	return ovsPortsProtected(trunks == `4095`, mode, tag, trunks, ids)
}

func ovsPortsProtected(protected bool, mode, tag, trunks, ids string) string {
	return `{"data":[["br0",["set",[]],["set",[]],["set",[]],false,["uuid","u4"],["map",[]]],["eth1",` + mode + `,` + tag + `,` + trunks +
		`,` + strconv.FormatBool(protected) + `,["uuid","u1"],` + ids + `]],"headings":["name","vlan_mode","tag","trunks","protected",` +
		`"interfaces","external_ids"]}` + "\n" + ovsInterfaces
}

func TestParseOVSModes(t *testing.T) {
	const none, noIDs = `["set",[]]`, `["map",[]]`
	const untagged = "untagged frames are carried in VLAN 0"
	all := switchdrivers.AllVLANs()
	problem := func(p switchdrivers.Port, text string) switchdrivers.Port { p.Problem = text; return p }
	noted := func(text string) string { return `["map",[["switchbind-parked","` + text + `"]]]` }
	shut := func(p switchdrivers.Port) switchdrivers.Port { p.Enabled = false; return p }
	for name, test := range map[string]struct {
		mode, tag, trunks, ids string
		want                   switchdrivers.Port
	}{
		"cleared columns carry everything": {none, none, none, noIDs, problem(switchdrivers.Trunk(0, all), untagged)},
		"implied access":                   {none, `5`, none, noIDs, switchdrivers.Access(5)},
		"implied access ignores trunks":    {none, `5`, `["set",[7,8]]`, noIDs, switchdrivers.Access(5)},
		"implied trunk":                    {none, none, `["set",[7,8]]`, noIDs, switchdrivers.Trunk(0, switchdrivers.VLANs(7, 8))},
		"access":                           {`"access"`, `5`, none, noIDs, switchdrivers.Access(5)},
		"access, tag in a set":             {`["set",["access"]]`, `["set",[5]]`, none, noIDs, switchdrivers.Access(5)},
		"access without a tag": {`"access"`, none, none, noIDs,
			problem(switchdrivers.Port{Enabled: true, Mode: switchdrivers.ModeAccess}, "untagged frames join VLAN 0")},
		"trunk":               {`"trunk"`, none, `7`, noIDs, switchdrivers.Trunk(0, switchdrivers.VLANs(7))},
		"trunk of everything": {`"trunk"`, none, none, noIDs, problem(switchdrivers.Trunk(0, all), untagged)},
		"trunk with VLAN 0": {`"trunk"`, none, `["set",[0,7]]`, noIDs,
			problem(switchdrivers.Trunk(0, switchdrivers.VLANs(7)), untagged)},
		"native-untagged":           {`"native-untagged"`, `5`, `["set",[5,7]]`, noIDs, switchdrivers.Trunk(5, switchdrivers.VLANs(7))},
		"native alone on the list":  {`"native-untagged"`, `5`, `5`, noIDs, switchdrivers.Trunk(5, switchdrivers.VLANSet{})},
		"native of everything":      {`"native-untagged"`, `5`, none, noIDs, switchdrivers.Trunk(5, all)},
		"native-tagged":             {`"native-tagged"`, `5`, `7`, noIDs, problem(switchdrivers.Trunk(5, switchdrivers.VLANs(7)), "vlan_mode is native-tagged")},
		"dot1q-tunnel":              {`"dot1q-tunnel"`, `5`, none, noIDs, problem(switchdrivers.Trunk(5, all), "vlan_mode is dot1q-tunnel")},
		"idle":                      {`"trunk"`, none, `4095`, noIDs, switchdrivers.Port{}},
		"shut access":               {`"trunk"`, none, `4095`, noted("shut access 5"), shut(switchdrivers.Access(5))},
		"shut trunk":                {`"trunk"`, none, `4095`, noted("shut trunk 5 7,9-10"), shut(switchdrivers.Trunk(5, switchdrivers.VLANs(7, 9, 10)))},
		"open trunk of nothing":     {`"trunk"`, none, `4095`, noted("open trunk"), switchdrivers.Trunk(0, switchdrivers.VLANSet{})},
		"a note that means nothing": {`"trunk"`, none, `4095`, noted("shut access 5000"), switchdrivers.Port{}},
		"a note on an open port":    {`"access"`, `5`, none, noted("shut access 7"), switchdrivers.Access(5)},
	} {
		state, err := platform(t, "openvswitch").Parse([]string{ovsPorts(test.mode, test.tag, test.trunks, test.ids)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := map[string]switchdrivers.Port{"eth1": test.want} // and not br0
		if diff := cmp.Diff(want, state.Ports, cmp.Comparer(switchdrivers.VLANSet.Equal)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// Two trunks of VLAN 4095 reach each other with frames that their hosts tag so (TestOVSIdlePortsDoNotReachEachOther).
func TestParseOVSProtected(t *testing.T) {
	const none, noIDs = `["set",[]]`, `["map",[]]`
	for name, test := range map[string]struct {
		text, problem string
		want          switchdrivers.Port
	}{
		"closed, not protected": {ovsPortsProtected(false, `"trunk"`, none, `4095`, noIDs), "4095", switchdrivers.Trunk(0, switchdrivers.VLANSet{})},
		"open, protected":       {ovsPortsProtected(true, `"access"`, `5`, none, noIDs), "protected", switchdrivers.Access(5)},
	} {
		state, err := platform(t, "openvswitch").Parse([]string{test.text})
		if got := state.Ports["eth1"]; err != nil || !got.Equal(test.want) || !strings.Contains(got.Problem, test.problem) {
			t.Errorf("%s: %v, problem %q (%v)", name, got, got.Problem, err)
		}
	}
}

func TestParseOVSBond(t *testing.T) {
	text := `{"data":[["bond0","access",5,["set",[]],false,["set",[["uuid","u1"],["uuid","u2"]]],["map",[]]]],` +
		`"headings":["name","vlan_mode","tag","trunks","protected","interfaces","external_ids"]}` + "\n" + ovsInterfaces
	state, err := platform(t, "openvswitch").Parse([]string{text})
	if err != nil {
		t.Fatal(err)
	}
	want := switchdrivers.State{
		Ports: map[string]switchdrivers.Port{"bond0": switchdrivers.Access(5), "eth1": {Enabled: true, LAG: "bond0"},
			"eth2": {Enabled: true, LAG: "bond0"}},
		LAGs: map[string]switchdrivers.LAG{"bond0": {Members: []string{"eth1", "eth2"}}},
	}
	if diff := cmp.Diff(want, state, cmp.Comparer(switchdrivers.VLANSet.Equal)); diff != "" {
		t.Error(diff)
	}
}

func TestParseOVSRefuses(t *testing.T) {
	const none, noIDs = `["set",[]]`, `["map",[]]`
	good := ovsPorts(`"access"`, `5`, none, noIDs)
	for name, text := range map[string]string{
		"nothing":             "",
		"half":                good[:len(good)/2],
		"a table missing":     strings.SplitAfter(good, "\n")[0],
		"text after the end":  good + "x",
		"an unknown mode":     ovsPorts(`"mirror"`, `5`, none, noIDs),
		"a tag that is text":  ovsPorts(`"access"`, `"5"`, none, noIDs),
		"a tag too large":     ovsPorts(`"access"`, `5000`, none, noIDs),
		"a trunk too large":   ovsPorts(`"trunk"`, none, `["set",[1,5000]]`, noIDs),
		"no external_ids":     ovsPorts(`"trunk"`, none, none, `["set",[]]`),
		"an unknown set":      ovsPorts(`"trunk"`, none, `["bag",[1]]`, noIDs),
		"a column missing":    strings.Replace(good, `"trunks"`, `"tracks"`, 1),
		"an unknown member":   strings.Replace(good, `["uuid","u1"],["map"`, `["uuid","u9"],["map"`, 1),
		"a heading too many":  strings.Replace(good, `"name","vlan_mode"`, `"name","x","vlan_mode"`, 1),
		"a port there twice":  strings.Replace(good, `"br0",["set"`, `"eth1",["set"`, 1),
		"an error message":    "ovs-vsctl: unix:/var/run/openvswitch/db.sock: database connection failed",
		"another JSON answer": `{"error":"x"}`,
	} {
		if state, err := platform(t, "openvswitch").Parse([]string{text}); err == nil {
			t.Errorf("%s: read as %+v", name, state)
		}
	}
}

func FuzzParseOVS(f *testing.F) {
	f.Add(ovsPorts(`"access"`, `5`, `["set",[]]`, `["map",[]]`))
	f.Add(ovsPorts(`"trunk"`, `["set",[]]`, `["set",[1,2,4095]]`, `["map",[["switchbind-parked","open trunk"]]]`))
	f.Add(ovsPorts(`"trunk"`, `["set",[]]`, `4095`, `["map",[["switchbind-parked","shut trunk 1 1,2"]]]`))
	p := platform(f, "openvswitch")
	f.Fuzz(func(t *testing.T, text string) {
		state, err := p.Parse([]string{text})
		if err != nil {
			return
		}
		checkState(t, p, state)
	})
}

// ovsdb is a database server of its own for a test, and a shell command that makes ovs-vsctl use it.
type ovsdb struct{ bin string }

func startOVSDB(t testing.TB) *ovsdb {
	t.Helper()
	for _, tool := range []string{"ovsdb-tool", "ovsdb-server", "ovs-vsctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is needed: install Debian's openvswitch-switch", tool)
			}
			t.Skipf("%s is not installed (Debian: openvswitch-switch)", tool)
		}
	}
	// A socket's path must be short.
	dir, err := os.MkdirTemp("", "ovs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	database, socket := filepath.Join(dir, "db"), filepath.Join(dir, "s")
	const schema = "/usr/share/openvswitch/vswitch.ovsschema"
	if out, err := exec.Command("ovsdb-tool", "create", database, schema).CombinedOutput(); err != nil {
		t.Fatalf("ovsdb-tool: %v: %s", err, out)
	}
	server := exec.Command("ovsdb-server", "--remote=punix:"+socket, "--unixctl="+filepath.Join(dir, "ctl"),
		"--log-file="+filepath.Join(dir, "log"), database)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	real, _ := exec.LookPath("ovs-vsctl")
	// No ovs-vswitchd runs, so nobody would ever say that the change has been taken over.
	script := "#!/bin/sh\nexec " + real + " --db=unix:" + socket + " --no-wait \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "ovs-vsctl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	db := &ovsdb{bin: dir}
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := os.Stat(socket)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("ovsdb-server does not listen")
		}
		time.Sleep(5 * time.Millisecond)
	}
	const bridge = "ovs-vsctl init && ovs-vsctl add-br br0 -- add-port br0 eth1 -- add-port br0 eth2 -- add-bond br0 bond0 eth3 eth4"
	if _, stderr, status := db.run(bridge); status != 0 {
		t.Fatal(stderr)
	}
	return db
}

// run is what sshd does with a command.
func (db *ovsdb) run(command string) (string, string, int) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(os.Environ(), "PATH="+db.bin+":"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return stdout.String(), stderr.String(), exit.ExitCode()
	case err != nil:
		return "", err.Error(), 127
	}
	return stdout.String(), stderr.String(), 0
}

func openOVS(t testing.TB) *driver {
	db := startOVSDB(t)
	s := startFake(t, func(s *fakeServer) { s.exec = db.run })
	return open(t, platform(t, "openvswitch"), describe(t, s), switchdrivers.Environment{})
}

// Every state that the model has, written to a real OVSDB, reads back as itself, from whatever was there before.
func TestOVSRoundTrips(t *testing.T) {
	d := openOVS(t)
	rapid.Check(t, func(rt *rapid.T) {
		state, err := d.Read(t.Context(), switchdrivers.Scope{})
		if err != nil {
			rt.Fatal(err)
		}
		want := state.Clone()
		for _, name := range []string{"eth1", "eth2", "bond0"} {
			if rapid.Bool().Draw(rt, "touch") {
				want.Ports[name] = drawPort(rt)
			}
		}
		change := switchdrivers.Diff(state, want)
		if err := d.Apply(t.Context(), change); err != nil {
			rt.Fatal(err)
		}
		got, err := d.Read(t.Context(), switchdrivers.Scope{})
		if err != nil {
			rt.Fatal(err)
		}
		if left := switchdrivers.Diff(got, want); !left.IsEmpty() {
			rt.Fatalf("left over: %+v", left)
		}
	})
}

// drawPort draws a port in any state that can be written. VLAN 1 is left out: on a port that is shut it is the default, idle.
func drawPort(t *rapid.T) switchdrivers.Port {
	vlan := rapid.Map(rapid.IntRange(2, 4094), func(n int) switchdrivers.VLANID { return switchdrivers.VLANID(n) })
	var p switchdrivers.Port
	switch rapid.SampledFrom([]string{"idle", "access", "trunk"}).Draw(t, "mode") {
	case "access":
		p = switchdrivers.Access(vlan.Draw(t, "access"))
	case "trunk":
		native := rapid.OneOf(rapid.Just(switchdrivers.VLANID(0)), vlan).Draw(t, "native")
		p = switchdrivers.Trunk(native, switchdrivers.VLANs(rapid.SliceOfN(vlan, 0, 5).Draw(t, "tagged")...))
	}
	if p.Mode != switchdrivers.ModeIdle {
		p.Enabled = rapid.Bool().Draw(t, "enabled")
	}
	p.Description = rapid.SampledFrom([]string{"", "net-a", "switchbind b16e, (x) [y]"}).Draw(t, "description")
	return p
}

func TestOVSRefusals(t *testing.T) {
	d := openOVS(t)
	change := to("eth1", switchdrivers.Access(5))
	change.Ports = append(change.Ports, switchdrivers.PortChange{Name: "eth9", To: switchdrivers.Access(5)})
	err := d.Apply(t.Context(), change)
	var refused *switchdrivers.RefusedError
	if !errors.As(err, &refused) || len(refused.Rejections) != 1 || refused.Rejections[0].Port != "eth9" {
		t.Fatalf("got %v", err)
	}
	state, err := d.Read(t.Context(), switchdrivers.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if got := state.Ports["eth1"]; got.Mode == switchdrivers.ModeAccess {
		t.Errorf("part of a refused transaction was done: %v", got)
	}
	for _, name := range []string{"eth9", "br0"} {
		if _, exists := state.Ports[name]; exists {
			t.Errorf("there is a port %s", name)
		}
	}
	if state.Ports["eth3"].LAG != "bond0" {
		t.Errorf("%+v", state.Ports)
	}
	words, err := d.Identify(t.Context())
	if err != nil || !strings.Contains(words, "ovs-vsctl") {
		t.Errorf("%q %v", words, err)
	}
}

func TestOVSFailures(t *testing.T) {
	for name, test := range map[string]struct {
		stderr string
		status int
		is     func(error) bool
	}{
		"no database": {"ovs-vsctl: unix:/var/run/openvswitch/db.sock: database connection failed (No such file or directory)\n", 1,
			is[*switchdrivers.BusyError]},
		"no tool": {"sh: 1: ovs-vsctl: not found\n", 127, is[*switchdrivers.RefusedError]},
		"alarm": {"2026-11-22T14:00:00Z|1|fatal_signal|WARN|terminating with signal 14 (Alarm clock)\n", 142,
			is[*switchdrivers.UnreachableError]},
		"silence": {"", 1, is[*switchdrivers.RefusedError]},
	} {
		s := startFake(t, func(s *fakeServer) {
			s.exec = func(string) (string, string, int) { return "", test.stderr, test.status }
		})
		d := open(t, platform(t, "openvswitch"), describe(t, s), switchdrivers.Environment{})
		if err := d.Apply(t.Context(), to("eth1", switchdrivers.Access(5))); !test.is(err) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.Read(t.Context(), switchdrivers.Scope{}); err == nil {
			t.Errorf("%s: read as nothing", name)
		}
	}
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// What a plan prints is what is sent, to the letter.
func TestOVSSendsWhatIsRendered(t *testing.T) {
	var sent []string
	s := startFake(t, func(s *fakeServer) {
		s.exec = func(command string) (string, string, int) { sent = append(sent, command); return "", "", 0 }
	})
	p := platform(t, "openvswitch")
	d := open(t, p, describe(t, s), switchdrivers.Environment{})
	change := to("eth1", switchdrivers.Access(5))
	change.Ports = append(change.Ports, switchdrivers.PortChange{Name: "eth2", To: switchdrivers.Trunk(7, switchdrivers.VLANs(8))})
	if err := d.Apply(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if want := []string{strings.Join(rendered(t, "openvswitch", change), "\n")}; !cmp.Equal(sent, want) {
		t.Errorf("sent %q, rendered %q", sent, want)
	}
}
