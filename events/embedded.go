package events

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/switchbind/switchbind/switchdrivers"
)

// DefaultListen is where the embedded server listens unless told otherwise.
const DefaultListen = "127.0.0.1:4222"

// EmbeddedOptions say how to run a NATS server inside this process.
type EmbeddedOptions struct {
	// DataDir holds everything that must survive a restart. It is made, with mode 0700, when it does not exist.
	DataDir string
	// Listen is host:port; "" is [DefaultListen]. Port 0 lets the system choose. "none" does not listen at all: only this process
	// reaches the server.
	Listen string
	// Username and Password, or Token, are asked of everybody who connects; empty: nobody is asked.
	Username string
	Password switchdrivers.Secret
	Token    switchdrivers.Secret
}

// Embedded is a NATS server with JetStream inside this process. What it acknowledged is on disk: it syncs every write.
type Embedded struct {
	server  *server.Server
	options EmbeddedOptions
	lock    *os.File
	stop    sync.Once
}

// StartEmbedded starts the server and returns when it can be used. Errors say what to do: the address is taken, the directory
// cannot be written, another process uses it.
func StartEmbedded(o EmbeddedOptions) (*Embedded, error) {
	if o.DataDir == "" {
		return nil, errors.New("embedded NATS server: data_dir is not set")
	}
	opts := &server.Options{
		ServerName:         "switchbind-embedded",
		JetStream:          true,
		StoreDir:           o.DataDir,
		SyncAlways:         true,
		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  embeddedMaxStore,
		NoSigs:             true, // signals belong to the program
		NoLog:              true,
		Username:           o.Username,
		Password:           o.Password.Reveal(),
		Authorization:      o.Token.Reveal(),
		MaxPayload:         1 << 20,
	}
	if err := listenOptions(opts, o.Listen); err != nil {
		return nil, err
	}
	lock, err := lockDataDir(o.DataDir)
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	e := &Embedded{server: srv, options: o, lock: lock}
	logged := &lastError{}
	srv.SetLoggerV2(logged, false, false, false)
	go srv.Start()
	if !srv.ReadyForConnections(30*time.Second) || !srv.JetStreamEnabled() {
		e.Shutdown()
		return nil, fmt.Errorf("embedded NATS server did not start with data_dir %s: %s", o.DataDir, logged.text("no reason was given"))
	}
	return e, nil
}

// embeddedMaxStore is more than all streams together may take (see streams.go), so that a limit of theirs, which has a meaning, is
// reached first.
const embeddedMaxStore = 4 << 30

func listenOptions(opts *server.Options, listen string) error {
	switch listen {
	case "none":
		opts.DontListen = true
		return nil
	case "":
		listen = DefaultListen
	}
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("embedded NATS server: listen address %q must be host:port: %w", listen, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return fmt.Errorf("embedded NATS server: listen address %q: the port must be a number from 0 to 65535", listen)
	}
	// Try the address first: the server itself reports a taken one only in its log, and goes on without listening.
	probe, err := net.Listen("tcp", listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("embedded NATS server: %s is in use: another switchbind or NATS server runs there; stop it, choose another "+
				"embedded.listen, or set nats.url to use that server", listen)
		}
		return fmt.Errorf("embedded NATS server cannot listen on %s: %w", listen, err)
	}
	probe.Close()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	opts.Host, opts.Port = host, port
	return nil
}

// lockDataDir makes the directory and takes it for this process. JetStream itself does not notice a second process on its files,
// and destroys them.
func lockDataDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir %s cannot be made: %w", dir, err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data_dir %s is not writable (run as its owner, or choose another): %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data_dir %s is used by another process: stop the other switchbind, or choose another data_dir", dir)
		}
		return nil, fmt.Errorf("data_dir %s cannot be locked: %w", dir, err)
	}
	return f, nil
}

// Connect returns a connection inside the process, which needs no network and no credentials.
func (e *Embedded) Connect(ctx context.Context, name string) (*nats.Conn, error) {
	return connect(ctx, ConnectOptions{
		Name: name, Username: e.options.Username, Password: e.options.Password, Token: e.options.Token,
	}, nats.InProcessServer(e.server))
}

// URL is where others reach the server, "" when it does not listen. It never holds credentials.
func (e *Embedded) URL() string {
	if e.server.Addr() == nil {
		return ""
	}
	return e.server.ClientURL()
}

// Shutdown stops the server and waits until its files are closed. Close the connections first.
func (e *Embedded) Shutdown() {
	e.stop.Do(func() {
		e.server.Shutdown()
		e.server.WaitForShutdown()
		e.lock.Close() // gives up the lock, too
	})
}

// lastError keeps what the server last complained about, for the error that says why it did not start.
type lastError struct {
	mu   sync.Mutex
	last string
}

func (l *lastError) keep(format string, v []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = fmt.Sprintf(format, v...)
}

func (l *lastError) text(otherwise string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" {
		return otherwise
	}
	return l.last
}

func (l *lastError) Noticef(string, ...any)         {}
func (l *lastError) Warnf(string, ...any)           {}
func (l *lastError) Debugf(string, ...any)          {}
func (l *lastError) Tracef(string, ...any)          {}
func (l *lastError) Fatalf(format string, v ...any) { l.keep(format, v) }
func (l *lastError) Errorf(format string, v ...any) { l.keep(format, v) }
