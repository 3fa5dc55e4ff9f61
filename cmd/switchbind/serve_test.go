package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/switchbind/switchbind/cmd/switchbind/config"
	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

// logBuffer is a log that a test can wait on.
type logBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBuffer) await(t *testing.T, words string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !strings.Contains(b.String(), words) {
		select {
		case <-b.changed:
		case <-deadline:
			t.Fatalf("the log never said %q:\n%s", words, b)
		}
	}
}

// serving is one run of the service with a fake engine.
type serving struct {
	log  *logBuffer
	core *fakeCore
	file string
	done chan error
	stop context.CancelFunc
	env  switchdrivers.Environment
}

func configText(switches ...string) string {
	text := "embedded: {listen: '127.0.0.1:0'}\nlog: {format: json}\nswitches:\n"
	for _, name := range switches {
		text += "  " + name + ":\n    {address: 127.0.0.1, driver: ssh, dialect: openvswitch, credentials: {username: u, password_env: HOME}, " +
			"host_key: {trust_on_first_use: true}, physical_networks: [physnet1]}\n"
	}
	return text
}

func (s *serving) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func startServing(t *testing.T, text string, dryRun bool) *serving {
	t.Helper()
	t.Setenv("STATE_DIRECTORY", "")
	s := &serving{log: &logBuffer{changed: make(chan struct{}, 1)}, core: newFakeCore(), file: filepath.Join(t.TempDir(), "c.yaml"),
		done: make(chan error, 1)}
	s.write(t, text)
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	a := &app{errOut: s.log, makeEngine: func(_ *switchdrivers.Inventory, bus *events.Bus, env switchdrivers.Environment, _ config.Snapshot,
		how manner, _ zerolog.Logger) (engine, error) {
		s.core.outbox, s.env = bus.Outbox(), env
		s.core.asked("engine dry run %t", how.dryRun)
		return s.core, nil
	}}
	go func() { s.done <- a.serve(ctx, s.file, manner{dryRun: dryRun}) }()
	t.Cleanup(func() { cancel() })
	s.log.await(t, `"message":"ready"`)
	return s
}

func (s *serving) end(t *testing.T) {
	t.Helper()
	s.stop()
	select {
	case err := <-s.done:
		if err != nil {
			t.Errorf("serve ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("serve did not end")
	}
}

func (s *serving) hangup(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

func TestServeReloadsWithoutDroppingAnything(t *testing.T) {
	s := startServing(t, configText("leaf1"), true)
	s.write(t, configText("leaf1", "leaf2"))
	s.hangup(t)
	s.log.await(t, `"switches":["leaf1","leaf2"],"time"`)

	s.write(t, "switches: {leaf1: {adress: x}}\n")
	s.hangup(t)
	s.log.await(t, `unknown key; did you mean`)

	s.write(t, configText("leaf2")) // leaf1 still holds something: the engine refuses
	s.hangup(t)
	s.log.await(t, `switch leaf1 is taken out but 1 bindings`)
	if n := strings.Count(s.log.String(), "the old one stays in force"); n != 2 {
		t.Errorf("%d refusals in the log, want 2:\n%s", n, s.log)
	}

	s.write(t, strings.Replace(configText("leaf1"), "log: {format: json}", "log: {format: json, level: debug}", 1))
	s.hangup(t)
	s.log.await(t, `take effect at the next restart`)
	s.end(t)
	want := []string{"engine dry run true", "inventory [leaf1 leaf2]", "inventory [leaf2]", "inventory [leaf1]"}
	if got := s.core.log(); !slices.Equal(got, want) {
		t.Errorf("the engine was told %q, want %q", got, want)
	}
}

func TestServeKeepsItsFilesAndStopsClean(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreTopFunction("os/signal.signal_recv"), goleak.IgnoreTopFunction("os/signal.loop"))
	s := startServing(t, configText("leaf1"), false)
	s.log.await(t, `host_key.trust_on_first_use`)
	if err := s.env.Pins.Pin("leaf1", "SHA256:x"); err != nil {
		t.Error(err)
	}
	dir := filepath.Dir(s.file)
	if pin, err := os.ReadFile(filepath.Join(dir, "switchbind-data", "host-keys", "leaf1")); err != nil || string(pin) != "SHA256:x\n" {
		t.Errorf("pin %q, %v", pin, err)
	}
	s.end(t)
	s.log.await(t, `"message":"stopped"`)
	if strings.Contains(s.log.String(), `"level":"error"`) {
		t.Errorf("errors at a clean stop:\n%s", s.log)
	}
}

func TestTwoServicesDoNotShareADirectory(t *testing.T) {
	s := startServing(t, configText("leaf1"), false)
	defer s.end(t)
	a := &app{errOut: &logBuffer{changed: make(chan struct{}, 1)}, makeEngine: newEngine}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := a.serve(ctx, s.file, manner{}); err == nil || !strings.Contains(err.Error(), "used by another process") {
		t.Errorf("got %v", err)
	}
}

func TestServeWithANATSServerOfItsOwnChoice(t *testing.T) {
	server, err := events.StartEmbedded(events.EmbeddedOptions{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Username: "sb", Password: "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	t.Setenv("SB_TEST_PASSWORD", "hunter2")
	t.Setenv("SWITCHBIND_NATS_PASSWORD", "hunter2")
	text := strings.Replace(configText("leaf1"), "embedded: {listen: '127.0.0.1:0'}",
		"nats: {url: '"+server.URL()+"', user: sb, password_env: SB_TEST_PASSWORD, prefix: dc1.sb}", 1)
	s := startServing(t, text, false)
	defer s.end(t)
	var out, errOut bytes.Buffer
	code := run([]string{"--nats", server.URL(), "--nats-user", "sb", "--prefix", "dc1.sb", "bind", "--link", "leaf1/eth1", "--segment", "physnet1:110"},
		strings.NewReader(""), &out, &errOut)
	if code != exitVerified || !strings.Contains(out.String(), string(portbinding.StatusBound)) {
		t.Errorf("exit code %d\n%s%s", code, &out, &errOut)
	}
	t.Setenv("SWITCHBIND_NATS_PASSWORD", "wrong-hunter3")
	errOut.Reset()
	code = run([]string{"--nats", server.URL(), "--nats-user", "sb", "list"}, strings.NewReader(""), &out, &errOut)
	if code != exitNobody || strings.Contains(errOut.String(), "hunter") {
		t.Errorf("exit code %d\n%s", code, &errOut)
	}
	if strings.Contains(s.log.String(), "hunter2") {
		t.Error("the log has the password")
	}
}
