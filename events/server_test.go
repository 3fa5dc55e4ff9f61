package events

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/switchbind/switchbind/portbinding"
)

// Whatever a test starts it must stop, to the last goroutine.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startServer(t testing.TB) *Embedded {
	t.Helper()
	e, err := StartEmbedded(EmbeddedOptions{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Shutdown)
	return e
}

func dial(t testing.TB, e *Embedded) *nats.Conn {
	t.Helper()
	conn, err := e.Connect(t.Context(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func openBus(t testing.TB, conn *nats.Conn, config Config) *Bus {
	t.Helper()
	b, err := Open(t.Context(), conn, config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve runs a bus until the test ends or stop is called.
func serve(t testing.TB, b *Bus, core Core, switches ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if err := b.SetSwitches(ctx, switches); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx, core) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Serve did not return")
		}
	})
	t.Cleanup(stop)
	return stop
}

// within fails the test unless the channel gives something soon.
func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(15 * time.Second):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// eventually waits until a condition holds that nobody signals.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

type wakeCall struct {
	name  string
	fence portbinding.Fence
}

// fakeCore is a core that remembers what it was told. Unset functions accept everything.
type fakeCore struct {
	Core // every method that is not overridden panics

	accept   func([]portbinding.Message) []error
	snapshot func(portbinding.Snapshot) (portbinding.SnapshotReport, error)
	reject   func(source, portID string, err *portbinding.InvalidError) error
	accepted chan []portbinding.Message
	rejected chan string
	snaps    chan portbinding.Snapshot
	woken    chan wakeCall
	disowned chan string
}

func newFakeCore() *fakeCore {
	return &fakeCore{accepted: make(chan []portbinding.Message, 1000), rejected: make(chan string, 1000),
		snaps: make(chan portbinding.Snapshot, 100), woken: make(chan wakeCall, 1000), disowned: make(chan string, 1000)}
}

func (c *fakeCore) Accept(_ context.Context, messages []portbinding.Message) []error {
	errs := make([]error, len(messages))
	if c.accept != nil {
		errs = c.accept(messages)
	}
	c.accepted <- messages
	return errs
}

func (c *fakeCore) Reject(_ context.Context, m portbinding.Message, err *portbinding.InvalidError) error {
	if c.reject != nil {
		if err := c.reject(m.Source, m.Binding.PortID, err); err != nil {
			return err
		}
	}
	c.rejected <- m.Source + " " + m.Binding.PortID + " " + err.Error()
	return nil
}

func (c *fakeCore) Wake(name string, fence portbinding.Fence) { c.woken <- wakeCall{name, fence} }
func (c *fakeCore) Disown(name string)                        { c.disowned <- name }

func (c *fakeCore) Snapshot(_ context.Context, s portbinding.Snapshot) (r portbinding.SnapshotReport, err error) {
	if c.snapshot != nil {
		r, err = c.snapshot(s)
	}
	c.snaps <- s
	return r, err
}

func TestAnEmbeddedServerKeepsWhatItAcknowledged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start := func() (*Embedded, *nats.Conn) {
		e, err := StartEmbedded(EmbeddedOptions{DataDir: dir, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := e.Connect(t.Context(), "test")
		if err != nil {
			t.Fatal(err)
		}
		return e, conn
	}
	e, conn := start()
	b := openBus(t, conn, Config{})
	entry := &portbinding.Entry{PortID: portA, Attempts: 7}
	if _, err := b.Ledger().Put(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory is %v, want 0700 (%v)", info.Mode(), err)
	}
	conn.Close()
	e.Shutdown()

	e, conn = start()
	defer e.Shutdown()
	defer conn.Close()
	got, err := openBus(t, conn, Config{}).Ledger().Get(t.Context(), portA)
	if err != nil || got == nil || got.Attempts != 7 {
		t.Errorf("after a restart the ledger has %+v (%v)", got, err)
	}
}

func TestAnEmbeddedServerSaysWhyItDoesNotStart(t *testing.T) {
	first := startServer(t)
	taken := strings.TrimPrefix(first.URL(), "nats://")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options EmbeddedOptions
		want    []string
	}{
		"the address is taken":         {EmbeddedOptions{DataDir: t.TempDir(), Listen: taken}, []string{taken, "in use", "embedded.listen", "nats.url"}},
		"another process has the data": {EmbeddedOptions{DataDir: first.options.DataDir, Listen: "127.0.0.1:0"}, []string{"another process", first.options.DataDir}},
		"no directory":                 {EmbeddedOptions{}, []string{"data_dir"}},
		"a file in its place":          {EmbeddedOptions{DataDir: file, Listen: "none"}, []string{file}},
		"an address without port":      {EmbeddedOptions{DataDir: t.TempDir(), Listen: "127.0.0.1"}, []string{"host:port"}},
		"a port that is none":          {EmbeddedOptions{DataDir: t.TempDir(), Listen: "127.0.0.1:http"}, []string{"port must be a number"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := StartEmbedded(c.options)
			if err == nil {
				e.Shutdown()
				t.Fatal("it started")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestCredentialsOfTheEmbeddedServer(t *testing.T) {
	const secret = "hunter2-very-secret"
	e, err := StartEmbedded(EmbeddedOptions{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Username: "anna", Password: secret})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown()
	dial(t, e) // the service itself always gets in
	if strings.Contains(e.URL(), secret) {
		t.Error("the URL tells the password")
	}
	conn, err := Connect(t.Context(), ConnectOptions{URLs: []string{e.URL()}, Username: "anna", Password: secret})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	withPassword := strings.Replace(e.URL(), "nats://", "nats://bob:"+secret+"@", 1)
	for name, o := range map[string]ConnectOptions{
		"wrong user":        {URLs: []string{e.URL()}, Username: "bob", Password: secret},
		"none":              {URLs: []string{e.URL()}},
		"a wrong token":     {URLs: []string{e.URL()}, Token: secret + "x"},
		"in the URL, wrong": {URLs: []string{withPassword}},
		"nobody there":      {URLs: []string{"nats://bob:" + secret + "@127.0.0.1:1"}},
		"a broken URL":      {URLs: []string{"nats://bob:" + secret + "@:::"}},
	} {
		_, err := Connect(t.Context(), o)
		if err == nil {
			t.Errorf("%s: got in", name)
			continue
		}
		if strings.Contains(fmt.Sprintf("%v %+v %v", err, err, o.Password)+fmt.Sprintf("%#v", o.Token), secret) {
			t.Errorf("%s: the secret is told: %v", name, err)
		}
		var connect *ConnectError
		if !errors.As(err, &connect) {
			t.Errorf("%s: the error is %T", name, err)
		}
	}
}

func TestConnectOptionsThatMakeNoSense(t *testing.T) {
	for want, o := range map[string]ConnectOptions{
		"no URL":             {},
		"choose one way":     {URLs: []string{"nats://127.0.0.1:1"}, Token: "x", Username: "y"},
		"creds file":         {URLs: []string{"nats://127.0.0.1:1"}, CredsFile: "/does/not/exist"},
		"nkey seed file":     {URLs: []string{"nats://127.0.0.1:1"}, NkeyFile: "/does/not/exist"},
		"min_version":        {URLs: []string{"nats://127.0.0.1:1"}, TLS: ConnectTLS{MinVersion: "1.1"}},
		"both its cert file": {URLs: []string{"nats://127.0.0.1:1"}, TLS: ConnectTLS{CertFile: "x"}},
		"ca file":            {URLs: []string{"nats://127.0.0.1:1"}, TLS: ConnectTLS{CAFile: "/does/not/exist"}},
		"is it running":      {URLs: []string{"nats://127.0.0.1:1"}},
	} {
		if _, err := Connect(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestAnOldServerIsRefusedByItsVersion(t *testing.T) {
	for version, ok := range map[string]bool{
		"2.11.0": true, "2.11.0-RC.1": true, "2.15.2": true, "3.0.0": true, "2.10.29": false, "2.9.25": false, "1.4.1": false, "": false, "v2.12.1": true,
	} {
		if got := atLeast(version, MinServerVersion); got != ok {
			t.Errorf("%q: %v, want %v", version, got, ok)
		}
	}
	err := error(&OldServerError{"2.10.29"})
	if !strings.Contains(err.Error(), "2.10.29") || !strings.Contains(err.Error(), MinServerVersion) {
		t.Error(err)
	}
}

func TestAServerWithoutJetStreamIsRefused(t *testing.T) {
	srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not start")
	}
	conn, err := connect(t.Context(), ConnectOptions{}, nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := Open(t.Context(), conn, Config{}); err == nil || !strings.Contains(err.Error(), "JetStream") {
		t.Errorf("error is %v", err)
	}
}

func TestStreamsAreAsTheContractSays(t *testing.T) {
	conn := dial(t, startServer(t))
	b := openBus(t, conn, Config{})
	openBus(t, conn, Config{}) // twice is once
	for name, want := range map[string]struct {
		subjects   string
		perSubject int64
	}{
		"SWITCHBIND_BINDINGS":  {"switchbind.binding.*.*", 1},
		"SWITCHBIND_SNAPSHOTS": {"switchbind.snapshot.*.*", -1},
		"SWITCHBIND_RESULTS":   {"switchbind.drift.* switchbind.result.*.*", 64},
		"SWITCHBIND_DEAD":      {"switchbind.dead.*", -1},
		"SWITCHBIND_WORK":      {"switchbind.work.*", 1},
	} {
		stream, err := b.js.Stream(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c := stream.CachedInfo().Config
		if strings.Join(c.Subjects, " ") != want.subjects || c.MaxMsgsPerSubject != want.perSubject {
			t.Errorf("%s has %v and %d per subject", name, c.Subjects, c.MaxMsgsPerSubject)
		}
		if c.MaxAge <= 0 || c.MaxBytes <= 0 || c.Storage != jetstream.FileStorage {
			t.Errorf("%s does not state its limits: %+v", name, c)
		}
	}
	// New limits take hold; what an operator chose beside them stays.
	stream, _ := b.js.Stream(t.Context(), "SWITCHBIND_DEAD")
	mine := stream.CachedInfo().Config
	mine.Metadata = map[string]string{"owner": "me"}
	if _, err := b.js.UpdateStream(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	openBus(t, conn, Config{Limits: Limits{DeadAge: time.Hour}})
	stream, _ = b.js.Stream(t.Context(), "SWITCHBIND_DEAD")
	if c := stream.CachedInfo().Config; c.MaxAge != time.Hour || c.Metadata["owner"] != "me" {
		t.Errorf("after an update: %+v", c)
	}
	// Another prefix is another installation.
	other := openBus(t, conn, Config{Prefix: "lab.two"})
	if _, err := other.js.Stream(t.Context(), "LAB_TWO_BINDINGS"); err != nil {
		t.Error(err)
	}
}

func TestAForeignStreamIsNotTouched(t *testing.T) {
	for name, c := range map[string]struct {
		config jetstream.StreamConfig
		want   string
	}{
		"other subjects":  {jetstream.StreamConfig{Subjects: []string{"x.>"}, MaxMsgsPerSubject: 1}, "subjects [x.>]"},
		"a work queue":    {jetstream.StreamConfig{Subjects: []string{"switchbind.binding.*.*"}, MaxMsgsPerSubject: 1, Retention: jetstream.WorkQueuePolicy}, "retention"},
		"in memory":       {jetstream.StreamConfig{Subjects: []string{"switchbind.binding.*.*"}, MaxMsgsPerSubject: 1, Storage: jetstream.MemoryStorage}, "storage"},
		"history of five": {jetstream.StreamConfig{Subjects: []string{"switchbind.binding.*.*"}, MaxMsgsPerSubject: 5}, "messages per subject of 5"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, startServer(t))
			js, err := jetstream.New(conn)
			if err != nil {
				t.Fatal(err)
			}
			c.config.Name = "SWITCHBIND_BINDINGS"
			if _, err := js.CreateStream(t.Context(), c.config); err != nil {
				t.Fatal(err)
			}
			_, err = Open(t.Context(), conn, Config{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "SWITCHBIND_BINDINGS") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestConfigThatMakesNoSense(t *testing.T) {
	conn := dial(t, startServer(t))
	for want, c := range map[string]Config{
		"instance":        {Instance: "a.b"},
		"pinned TTL":      {PinnedTTL: time.Second},
		"subject prefix":  {Prefix: "a..b"},
		"snapshot source": {SnapshotSources: []string{"*"}},
	} {
		if _, err := Open(t.Context(), conn, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
