package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/switchbind/switchbind/switchdrivers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pins is a PinStore in memory.
type pins struct {
	mu  sync.Mutex
	all map[string]string
	err error
}

func (p *pins) Pinned(name string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[name], p.err
}

func (p *pins) Unpin(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, name)
	return p.err
}

func (p *pins) Pin(name, fingerprint string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]string{}
	}
	p.all[name] = fingerprint
	return p.err
}

func TestHostKeys(t *testing.T) {
	rightKey, otherKey := newSigner(t, "ed25519"), newSigner(t, "ed25519")
	fingerprint := func(s ssh.Signer) string { return ssh.FingerprintSHA256(s.PublicKey()) }
	known := func(t *testing.T, address string, key ssh.Signer) string {
		file := filepath.Join(t.TempDir(), "known_hosts")
		line := knownhosts.Line([]string{knownhosts.Normalize(address)}, key.PublicKey())
		if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, test := range map[string]struct {
		policy   func(t *testing.T, address string) switchdrivers.HostKey
		pins     switchdrivers.PinStore
		believed bool
		want     string // of the HostKeyError
	}{
		"refused by default": {policy: func(*testing.T, string) switchdrivers.HostKey { return switchdrivers.HostKey{} }, pins: &pins{}},
		"pinned fingerprint": {policy: func(*testing.T, string) switchdrivers.HostKey {
			return switchdrivers.HostKey{Fingerprints: []string{fingerprint(otherKey), fingerprint(rightKey)}}
		}, believed: true},
		"another fingerprint": {policy: func(*testing.T, string) switchdrivers.HostKey {
			return switchdrivers.HostKey{Fingerprints: []string{fingerprint(otherKey)}, TrustOnFirstUse: true}
		}, pins: &pins{}, want: fingerprint(otherKey)},
		"known_hosts": {policy: func(t *testing.T, address string) switchdrivers.HostKey {
			return switchdrivers.HostKey{KnownHosts: known(t, address, rightKey)}
		}, believed: true},
		"known_hosts says otherwise": {policy: func(t *testing.T, address string) switchdrivers.HostKey {
			return switchdrivers.HostKey{KnownHosts: known(t, address, otherKey), Fingerprints: []string{fingerprint(rightKey)},
				TrustOnFirstUse: true}
		}, pins: &pins{}, want: fingerprint(otherKey)},
		"known_hosts of another host": {policy: func(t *testing.T, _ string) switchdrivers.HostKey {
			return switchdrivers.HostKey{KnownHosts: known(t, "192.0.2.1:22", rightKey)}
		}},
		"first use": {policy: func(*testing.T, string) switchdrivers.HostKey {
			return switchdrivers.HostKey{TrustOnFirstUse: true}
		}, pins: &pins{}, believed: true},
		"first use, nowhere to remember": {policy: func(*testing.T, string) switchdrivers.HostKey {
			return switchdrivers.HostKey{TrustOnFirstUse: true}
		}},
		"second use": {policy: func(*testing.T, string) switchdrivers.HostKey {
			return switchdrivers.HostKey{TrustOnFirstUse: true}
		}, pins: &pins{all: map[string]string{"leaf1": fingerprint(rightKey)}}, believed: true},
		"second use, replaced hardware": {policy: func(*testing.T, string) switchdrivers.HostKey {
			return switchdrivers.HostKey{TrustOnFirstUse: true}
		}, pins: &pins{all: map[string]string{"leaf1": fingerprint(otherKey)}}, want: fingerprint(otherKey)},
	} {
		t.Run(name, func(t *testing.T) {
			s := startFake(t, func(s *fakeServer) { s.keys = []ssh.Signer{rightKey} })
			sw := describe(t, s)
			sw.HostKey = test.policy(t, sw.Address)
			conn, err := dial(t.Context(), sw, switchdrivers.Environment{Pins: test.pins})
			if test.believed {
				if err != nil {
					t.Fatal(err)
				}
				conn.close()
				return
			}
			var wrong *switchdrivers.HostKeyError
			if !errors.As(err, &wrong) {
				t.Fatalf("got %v, wanted a HostKeyError", err)
			}
			if wrong.Got != fingerprint(rightKey) || wrong.Want != test.want {
				t.Errorf("got %q, want %q", wrong.Got, wrong.Want)
			}
			if n := s.attempts.Load(); n != 0 {
				t.Errorf("credentials were sent %d times to a host that is not believed", n)
			}
		})
	}
}

func TestFirstUseIsRemembered(t *testing.T) {
	s := startFake(t, nil)
	sw := describe(t, s)
	sw.HostKey = switchdrivers.HostKey{TrustOnFirstUse: true}
	store := &pins{}
	conn, err := dial(t.Context(), sw, switchdrivers.Environment{Pins: store})
	if err != nil {
		t.Fatal(err)
	}
	conn.close()
	if store.all["leaf1"] != ssh.FingerprintSHA256(s.keys[0].PublicKey()) {
		t.Errorf("remembered was %v", store.all)
	}
}

// A server has several host keys; the pinned one need not be the kind that is asked for first.
func TestPinnedKeyOfAnyKind(t *testing.T) {
	s := startFake(t, func(s *fakeServer) { s.keys = []ssh.Signer{newSigner(t, "ed25519"), newSigner(t, "ecdsa")} })
	sw := describe(t, s)
	for _, key := range s.keys {
		sw.HostKey.Fingerprints = []string{ssh.FingerprintSHA256(key.PublicKey())}
		conn, err := dial(t.Context(), sw, switchdrivers.Environment{})
		if err != nil {
			t.Fatalf("%s: %v", key.PublicKey().Type(), err)
		}
		conn.close()
	}
}

func TestPasswordIsTriedOnce(t *testing.T) {
	for _, interactive := range []bool{false, true} {
		s := startFake(t, func(s *fakeServer) { s.interactive = interactive })
		sw := describe(t, s)
		if conn, err := dial(t.Context(), sw, switchdrivers.Environment{}); err != nil {
			t.Fatalf("interactive %t: %v", interactive, err)
		} else {
			conn.close()
		}
		s.attempts.Store(0)
		sw.Credentials.PasswordFile = secretFile(t, "wrong-secret")
		_, err := dial(t.Context(), sw, switchdrivers.Environment{})
		var auth *switchdrivers.AuthError
		if !errors.As(err, &auth) {
			t.Fatalf("interactive %t: %v", interactive, err)
		}
		if n := s.attempts.Load(); n != 1 {
			t.Errorf("interactive %t: the password was tried %d times", interactive, n)
		}
		if strings.Contains(err.Error(), "wrong-secret") {
			t.Error("the error holds the secret")
		}
	}
}

func TestSilentPeerIsLeftInTime(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sw := switchdrivers.Switch{Name: "leaf1", Address: listener.Addr().String(),
		Credentials: switchdrivers.Credentials{Username: "admin", PasswordFile: secretFile(t, "x")},
		Timeouts:    switchdrivers.Timeouts{Connect: 50 * time.Millisecond}}
	_, err = dial(t.Context(), sw, switchdrivers.Environment{})
	var unreachable *switchdrivers.UnreachableError
	if !errors.As(err, &unreachable) || !unreachable.Timeout {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sw.Timeouts.Connect = time.Minute
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err = dial(ctx, sw, switchdrivers.Environment{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	sw := switchdrivers.Switch{Name: "leaf1", Address: address, Timeouts: switchdrivers.Timeouts{Connect: 5 * time.Second},
		Credentials: switchdrivers.Credentials{Username: "admin", PasswordFile: secretFile(t, "x")}}
	_, err = dial(t.Context(), sw, switchdrivers.Environment{})
	var unreachable *switchdrivers.UnreachableError
	if !errors.As(err, &unreachable) || unreachable.Timeout {
		t.Fatalf("got %v", err)
	}
}

func TestNoFreeSessionIsBusy(t *testing.T) {
	reason := ssh.ResourceShortage
	s := startFake(t, func(s *fakeServer) { s.refuse = &reason })
	for _, name := range []string{"arista_eos", "openvswitch"} {
		d := open(t, platform(t, name), describe(t, s), switchdrivers.Environment{})
		_, err := d.Read(t.Context(), switchdrivers.Scope{})
		var busy *switchdrivers.BusyError
		if !errors.As(err, &busy) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A key from a file, or from the agent where that is asked for. The agent is not used otherwise, whatever it holds.
func TestKeys(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	authorized, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := secretFile(t, string(pem.EncodeToMemory(block)))
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	var wg sync.WaitGroup
	defer wg.Wait()
	defer socket.Close()
	wg.Go(func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			wg.Go(func() { _ = agent.ServeAgent(keyring, conn); _ = conn.Close() })
		}
	})
	t.Setenv("SSH_AUTH_SOCK", socket.Addr().String())
	s := startFake(t, func(s *fakeServer) { s.authorized = authorized })
	sw := describe(t, s)
	for name, test := range map[string]struct {
		credentials switchdrivers.Credentials
		agent       int64
		ok          bool
	}{
		"file":             {switchdrivers.Credentials{KeyFile: keyFile}, 0, true},
		"agent":            {switchdrivers.Credentials{Agent: true}, 1, true},
		"neither":          {switchdrivers.Credentials{}, 0, false},
		"no file there":    {switchdrivers.Credentials{KeyFile: keyFile + "x"}, 0, false},
		"not a key":        {switchdrivers.Credentials{KeyFile: secretFile(t, "x")}, 0, false},
		"no password file": {switchdrivers.Credentials{PasswordFile: keyFile + "x"}, 0, false},
	} {
		asked.Store(0)
		sw.Credentials = test.credentials
		sw.Credentials.Username = "admin"
		conn, err := dial(t.Context(), sw, switchdrivers.Environment{})
		if err == nil {
			conn.close()
		} else if !is[*switchdrivers.AuthError](err) {
			t.Errorf("%s: %v", name, err)
		}
		if (err == nil) != test.ok || asked.Load() != test.agent {
			t.Errorf("%s: %v, the agent was asked %d times", name, err, asked.Load())
		}
	}
}
