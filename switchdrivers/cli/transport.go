package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/switchbind/switchbind/switchdrivers"
)

// transport is one authenticated SSH connection to a switch. It exists because scrapligo's own transport hangs for ever on a
// silent peer, leaks the connection when the switch closes first, and leaves host keys to chance.
//
// Every step of opening it ends at the context's or the connect timeout's deadline, whichever is first, because both close the
// TCP connection under it. Closing it ends every goroutine it started.
type transport struct {
	client *ssh.Client
	conn   net.Conn
	once   sync.Once
}

// dial connects, verifies the host key and logs in. No credentials are sent before the host key is believed.
func dial(ctx context.Context, sw switchdrivers.Switch, env switchdrivers.Environment) (*transport, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, sw.Timeouts.Connect, errTimeout)
	defer cancel()
	judge, err := newHostKeyJudge(sw, env.Pins)
	if err != nil {
		return nil, err
	}
	// A pinned fingerprint does not say of which kind its key is, and a server has several keys: when the first one presented
	// is not the pinned one, the others are asked for. Nothing but the key exchange happens on a connection that is not
	// believed.
	var refused error
	for _, algorithms := range judge.algorithms() {
		t, err := dialOnce(ctx, sw, judge, algorithms)
		if err == nil {
			return t, nil
		}
		var wrongKey *switchdrivers.HostKeyError
		if !errors.As(err, &wrongKey) {
			if refused != nil {
				return nil, refused // the server has no key of this further kind
			}
			return nil, err
		}
		if refused == nil {
			refused = err
		}
	}
	return nil, refused
}

func dialOnce(ctx context.Context, sw switchdrivers.Switch, judge *hostKeyJudge, algorithms []string) (*transport, error) {
	address := addressOf(sw)
	unreachable := func(doing string, err error) error {
		return connectionError(ctx, sw, doing, err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, unreachable("connecting", err)
	}
	t := &transport{conn: conn}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })

	login, err := newLogin(sw)
	if err != nil {
		stop()
		_ = conn.Close()
		return nil, &switchdrivers.AuthError{Switch: sw.Name, Username: sw.Credentials.Username, Err: err}
	}
	defer login.close()
	var believed bool
	config := &ssh.ClientConfig{
		User: sw.Credentials.Username,
		Auth: login.methods,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			if err := judge.check(address, remote, key); err != nil {
				return err
			}
			believed = true
			return nil
		},
		HostKeyAlgorithms: algorithms,
		ClientVersion:     "SSH-2.0-switchbind",
	}
	sshConn, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		stop()
		_ = conn.Close()
		var hostKey *switchdrivers.HostKeyError
		switch {
		case errors.As(err, &hostKey):
			return nil, hostKey
		case ctx.Err() == nil && believed && isAuthFailure(err):
			return nil, &switchdrivers.AuthError{Switch: sw.Name, Username: sw.Credentials.Username, Err: err}
		case ctx.Err() == nil && isTooMany(err.Error()):
			return nil, &switchdrivers.BusyError{Switch: sw.Name, Words: err.Error()}
		}
		return nil, unreachable("logging in", err)
	}
	t.client = ssh.NewClient(sshConn, channels, requests)
	if !stop() {
		t.close()
		return nil, unreachable("logging in", context.Cause(ctx))
	}
	return t, nil
}

// close ends the TCP connection at once, and with it everything that waits on it. It may be called more than once.
func (t *transport) close() {
	t.once.Do(func() {
		// The TCP connection goes first: a polite farewell could block on a peer that has stopped reading.
		_ = t.conn.Close()
		if t.client != nil {
			_ = t.client.Close()
			_ = t.client.Wait()
		}
	})
}

// openShell asks for a terminal with a login shell. The caller closes the transport when it fails.
func (t *transport) openShell(sw switchdrivers.Switch, width, height int) (*shell, error) {
	session, err := t.newSession(sw)
	if err != nil {
		return nil, err
	}
	// ECHO stays on: echoes are how answers are told apart. A width that no line reaches keeps line editors from wrapping.
	modes := ssh.TerminalModes{ssh.ECHO: 1, ssh.TTY_OP_ISPEED: 115200, ssh.TTY_OP_OSPEED: 115200}
	if err := session.RequestPty("vt100", height, width, modes); err != nil {
		return nil, fmt.Errorf("asking for a terminal: %w", err)
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := session.Shell(); err != nil {
		return nil, fmt.Errorf("asking for a shell: %w", err)
	}
	return newShell(t, stdin, stdout), nil
}

// newSession opens a channel; a switch that has no free session says so here.
func (t *transport) newSession(sw switchdrivers.Switch) (*ssh.Session, error) {
	session, err := t.client.NewSession()
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) && (refused.Reason == ssh.ResourceShortage || refused.Reason == ssh.Prohibited) {
		return nil, &switchdrivers.BusyError{Switch: sw.Name, Words: refused.Message}
	}
	return session, err
}

// shell is a terminal on the switch. It is the custom transport under scrapligo's channel (see session.go).
type shell struct {
	transport *transport
	stdin     io.Writer
	stdout    io.Reader
	// settled is signalled each time all that was read has been handed on, so that nobody has to poll for it.
	settled chan struct{}
	ended   chan struct{} // closed once the stream has ended
	once    sync.Once
}

func newShell(t *transport, stdin io.Writer, stdout io.Reader) *shell {
	return &shell{transport: t, stdin: stdin, stdout: stdout, settled: make(chan struct{}, 1), ended: make(chan struct{})}
}

// errTimeout is the cause of a context that ran out by one of the switch's own timeouts.
var errTimeout = errors.New("no answer within the limit")

// connectionError tells a broken connection from a timeout and from the caller's own cancellation.
func connectionError(ctx context.Context, sw switchdrivers.Switch, doing string, err error) error {
	e := &switchdrivers.UnreachableError{Switch: sw.Name, Address: addressOf(sw), Doing: doing, Err: err}
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.Canceled) {
			return cause
		}
		e.Timeout, e.Err = true, cause
		return e
	}
	var netErr net.Error
	e.Timeout = errors.As(err, &netErr) && netErr.Timeout()
	return e
}

// addressOf is the switch's host and port; the port of SSH where none is given.
func addressOf(sw switchdrivers.Switch) string {
	if _, _, err := net.SplitHostPort(sw.Address); err == nil {
		return sw.Address
	}
	return net.JoinHostPort(strings.Trim(sw.Address, "[]"), "22")
}

// isTooMany recognises a switch that has no session to spare: SSH disconnect reason 12 is "too many connections" (RFC 4253,
// section 11.1).
func isTooMany(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "reason 12") || strings.Contains(text, "too many connections") ||
		strings.Contains(text, "connection limit") || strings.Contains(text, "maximum number of sessions")
}

// positive keeps a timeout that was left out from meaning "no time at all".
func positive(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
