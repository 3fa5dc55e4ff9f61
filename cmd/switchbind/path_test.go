package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchbind/switchbind/fixtures/virtualswitch"
	"github.com/switchbind/switchbind/portbinding"
)

// The whole path, once: the command line, NATS, the real engine, the SSH driver, a virtual switch, and back.

// site is a running service with one virtual EOS switch.
type site struct {
	sw   *virtualswitch.Switch
	eos  *virtualswitch.EOS
	log  *logBuffer
	url  string
	stop context.CancelFunc
	done chan error
	file string
}

func startSite(t *testing.T, dryRun bool) *site {
	t.Helper()
	s := &site{sw: virtualswitch.New(virtualswitch.Options{Name: "leaf1"}), log: &logBuffer{changed: make(chan struct{}, 1)}, done: make(chan error, 1)}
	s.eos = virtualswitch.NewEOS(s.sw, virtualswitch.EOSOptions{Username: "sb", Password: "hunter2", Privileged: true})
	address, err := s.eos.ListenSSH("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s.file = filepath.Join(dir, "c.yaml")
	t.Setenv("SB_TEST_PASSWORD", "hunter2")
	t.Setenv("STATE_DIRECTORY", "")
	text := fmt.Sprintf(`
embedded: {listen: '127.0.0.1:0'}
log: {format: json}
switches:
  leaf1:
    address: %s
    switch_id: ['52:54:00:00:00:01']
    driver: ssh
    dialect: arista_eos
    credentials: {username: sb, password_env: SB_TEST_PASSWORD}
    host_key: {fingerprints: ['%s']}
    physical_networks: [physnet1]
    uplinks: [Ethernet48]
    save: {after: 50ms}
`, address, s.eos.HostKeyFingerprint())
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	a := &app{errOut: s.log, makeEngine: newEngine}
	go func() { s.done <- a.serve(ctx, s.file, manner{dryRun: dryRun}) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-s.done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the service did not stop")
		}
		s.eos.Close()
		if strings.Contains(s.log.String(), "hunter2") {
			t.Error("the log has the password")
		}
		if t.Failed() {
			t.Log(s.log)
		}
	})
	s.log.await(t, `"message":"ready"`)
	for line := range strings.SplitSeq(s.log.String(), "\n") {
		var ready struct{ Message, NATS string }
		if json.Unmarshal([]byte(line), &ready) == nil && ready.Message == "ready" {
			s.url = strings.TrimPrefix(ready.NATS, "embedded, ")
		}
	}
	return s
}

// run executes a verb and checks its exit code.
func (s *site) run(t *testing.T, code int, args ...string) (out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	if got := run(append([]string{"--nats", s.url}, args...), strings.NewReader(""), &o, &e); got != code {
		t.Fatalf("%q: exit code %d, want %d\n%s%s", args, got, code, &o, &e)
	}
	return o.String(), e.String()
}

// until asks again until the answer has the words.
func (s *site) until(t *testing.T, words string, args ...string) string {
	t.Helper()
	out := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if out, _ = s.run(t, 0, args...); strings.Contains(out, words) {
			return out
		}
	}
	t.Fatalf("%q never said %q, but:\n%s", args, words, out)
	return ""
}

func (s *site) port(t *testing.T, name, want string) {
	t.Helper()
	p := s.sw.Running().Ports[name]
	if got := fmt.Sprintf("shutdown %t mode %s access %d", p.Shutdown, p.Mode, p.AccessVLAN); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

func TestTheWholePath(t *testing.T) {
	s := startSite(t, false)
	const id = "b16e0dcd-67e8-4442-9a66-4d1692f5846f"
	out, _ := s.run(t, 0, "bind", "--port-id", id, "--link", "leaf1/Et1", "--segment", "physnet1:110")
	if !strings.Contains(out, "leaf1   Ethernet1  bound   access 110") {
		t.Errorf("bind said:\n%s", out)
	}
	s.port(t, "Ethernet1", "shutdown false mode access access 110")

	// A result is out a moment before the service's own views have it: a crash between the two must not lose it.
	s.until(t, `"status": "bound"`, "show", "leaf1/Ethernet1", "-o", "json")
	s.run(t, 0, "rebind", id[:8])
	s.run(t, 0, "rebind", id[:8], "--segment", "physnet1:120")
	s.port(t, "Ethernet1", "shutdown false mode access access 120")

	out, errOut := s.run(t, 1, "bind", "--link", "leaf1/Ethernet77", "--segment", "physnet1:110")
	if !strings.Contains(out+errOut, "unknown-port") {
		t.Errorf("bind of a port that is not there said:\n%s%s", out, errOut)
	}
	out, errOut = s.run(t, 1, "bind", "--link", "leaf1/Ethernet48", "--segment", "physnet1:110")
	if !strings.Contains(out+errOut, "port-protected") {
		t.Errorf("bind of an uplink said:\n%s%s", out, errOut)
	}
	out, errOut = s.run(t, 1, "bind", "--link", "leaf1/Ethernet1", "--segment", "physnet1:130", "--timeout", "3s")
	if !strings.Contains(errOut, "port-taken") || !strings.Contains(errOut, id) {
		t.Errorf("bind of a taken port said:\n%s%s", out, errOut)
	}
	out = s.until(t, `"bound": 1`, "switches", "-o", "json")
	var switches []portbinding.SwitchView
	if err := json.Unmarshal([]byte(out), &switches); err != nil || len(switches) != 1 || switches[0].LastRead == nil {
		t.Errorf("switches said %v:\n%s", err, out)
	}

	s.run(t, 0, "unbind", id)
	if p := s.sw.Running().Ports["Ethernet1"]; !p.Shutdown && p.AccessVLAN == 120 {
		t.Errorf("Ethernet1 still has VLAN 120")
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	s := startSite(t, true)
	s.until(t, `"health": "ok"`, "switches", "-o", "json")
	before := s.sw.Version()
	file := filepath.Join(t.TempDir(), "b.json")
	binding := `{"port_id": "b16e0dcd-67e8-4442-9a66-4d1692f5846f", "revision_number": 1, "state": "present", "vnic_type": "baremetal",
		"network": {"id": "net-a"}, "segments": [{"network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 110}],
		"binding_profile": {"local_link_information": [{"switch_id": "5254.0000.0001", "port_id": "Ethernet1"}]}}`
	if err := os.WriteFile(file, []byte(binding), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := s.run(t, 0, "plan", "--bind", file)
	for _, want := range []string{"leaf1 (ssh/arista_eos): would be sent:", "  vlan 110", "interface Ethernet1", "switchport access vlan 110", "  # "} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan has no %q:\n%s", want, out)
		}
	}
	_, errOut := s.run(t, 1, "bind", "--file", file)
	if !strings.Contains(errOut, "dry-run") {
		t.Errorf("bind said:\n%s", errOut)
	}
	if after := s.sw.Version(); after != before {
		t.Errorf("the switch's configuration went from version %d to %d", before, after)
	}
}
