package cli

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/switchbind/switchbind/switchdrivers"
)

// fakeServer is the least SSH server that a driver can talk to. Its shell is a function of the test's.
type fakeServer struct {
	listener net.Listener
	keys     []ssh.Signer
	password string
	// interactive serves keyboard-interactive instead of password.
	interactive bool
	authorized  ssh.PublicKey // the only key that may log in
	shell       func(*fakeShell)
	exec        func(command string) (stdout, stderr string, status int)
	refuse      *ssh.RejectionReason // of every channel

	logins, attempts, connections atomic.Int64
	wg                            sync.WaitGroup
	mu                            sync.Mutex
	open                          []net.Conn
}

func newSigner(t testing.TB, kind string) ssh.Signer {
	t.Helper()
	var key any
	var err error
	if kind == "ecdsa" {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// start listens; change may be nil.
func startFake(t testing.TB, change func(*fakeServer)) *fakeServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{listener: listener, password: "right"}
	if change != nil {
		change(s)
	}
	if s.keys == nil {
		s.keys = []ssh.Signer{newSigner(t, "ed25519")}
	}
	s.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			s.mu.Lock()
			s.open = append(s.open, conn)
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.cut()
		s.wg.Wait()
	})
	return s
}

// cut breaks every connection.
func (s *fakeServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.open {
		_ = conn.Close()
	}
	s.open = nil
}

func (s *fakeServer) serve(conn net.Conn) {
	defer conn.Close()
	config := &ssh.ServerConfig{MaxAuthTries: 6}
	check := func(password string) (*ssh.Permissions, error) {
		s.attempts.Add(1)
		if password != s.password {
			return nil, errors.New("no")
		}
		return nil, nil
	}
	if s.interactive {
		config.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil || len(answers) != 1 {
				return nil, errors.New("no answer")
			}
			return check(answers[0])
		}
	} else {
		config.PasswordCallback = func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) { return check(string(password)) }
		config.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil {
				return nil, err
			}
			return check(answers[0])
		}
	}
	if s.authorized != nil {
		config.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), s.authorized.Marshal()) {
				return nil, errors.New("no")
			}
			return nil, nil
		}
	}
	for _, key := range s.keys {
		config.AddHostKey(key)
	}
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	s.logins.Add(1)
	go ssh.DiscardRequests(requests)
	defer server.Close()
	for offer := range channels {
		if s.refuse != nil {
			_ = offer.Reject(*s.refuse, "no free session")
			continue
		}
		channel, requests, err := offer.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() { s.session(channel, requests) })
	}
}

func (s *fakeServer) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for request := range requests {
		_ = request.Reply(true, nil)
		switch request.Type {
		case "shell":
			s.wg.Go(func() {
				s.shell(&fakeShell{in: bufio.NewReader(channel), out: channel})
				_ = channel.Close()
			})
		case "exec":
			command := string(request.Payload[4:])
			stdout, stderr, status := s.exec(command)
			_, _ = io.WriteString(channel, stdout)
			_, _ = io.WriteString(channel.Stderr(), stderr)
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
			return
		}
	}
}

// fakeShell is the switch's side of a terminal.
type fakeShell struct {
	in  *bufio.Reader
	out io.Writer
}

func (f *fakeShell) print(text string) {
	_, _ = io.WriteString(f.out, strings.ReplaceAll(text, "\n", "\r\n"))
}

// line reads a line and echoes it.
func (f *fakeShell) line() (string, bool) {
	text, err := f.in.ReadString('\n')
	text = strings.TrimRight(text, "\r\n")
	if err == nil {
		f.print(text + "\n")
	}
	return text, err == nil
}

// dialogue answers every line with what reply says, and prints the prompt. A reply's prompt "" keeps the one before.
func dialogue(prompt string, reply func(line string) (output, nextPrompt string)) func(*fakeShell) {
	return func(f *fakeShell) {
		now := prompt
		for {
			f.print(now)
			line, ok := f.line()
			if !ok {
				return
			}
			output, next := reply(line)
			if output != "" {
				f.print(output + "\n")
			}
			if next != "" {
				now = next
			}
		}
	}
}

// describe is the inventory entry of a fake server.
func describe(t testing.TB, s *fakeServer) switchdrivers.Switch {
	t.Helper()
	return switchdrivers.Switch{
		Name: "leaf1", Address: s.listener.Addr().String(), Driver: Driver,
		Credentials: switchdrivers.Credentials{Username: "admin", PasswordFile: secretFile(t, "right")},
		HostKey:     switchdrivers.HostKey{Fingerprints: []string{ssh.FingerprintSHA256(s.keys[0].PublicKey())}},
		Timeouts: switchdrivers.Timeouts{Connect: 5 * time.Second, Command: 5 * time.Second, Commit: 5 * time.Second,
			Idle: time.Minute},
	}
}

func secretFile(t testing.TB, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func platform(t testing.TB, name string) *Platform {
	t.Helper()
	dialects, err := LoadDialects()
	if err != nil {
		t.Fatal(err)
	}
	if dialects[name] == nil {
		t.Fatalf("no dialect %s", name)
	}
	return NewPlatform(dialects[name])
}

// open returns a driver that is closed at the end of the test.
func open(t testing.TB, p *Platform, sw switchdrivers.Switch, env switchdrivers.Environment) *driver {
	t.Helper()
	d, err := p.Open(sw, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d.(*driver)
}
