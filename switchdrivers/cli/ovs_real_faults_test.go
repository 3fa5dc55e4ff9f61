package cli_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchbind/switchbind/fixtures/openvswitch"
	"github.com/switchbind/switchbind/switchdrivers"
)

// What goes wrong with a real Open vSwitch: unknown ports, keys, logins, daemons, connections, and names that are commands.

func TestOVSUnknownPortsAreRefusedAndNothingIsChanged(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	s.Host("a", "eth1", "10.0.0.1")
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	if _, there := readReal(t, driver).Ports["eth9"]; there {
		t.Fatal("a port that does not exist was read")
	}
	before := s.Config("eth1").String()
	err := driver.Apply(t.Context(), switchdrivers.Change{Ports: []switchdrivers.PortChange{
		{Name: "eth1", To: switchdrivers.Access(10)}, {Name: "eth9", To: switchdrivers.Access(10)},
	}})
	var refused *switchdrivers.RefusedError
	if !errors.As(err, &refused) || len(refused.Rejections) != 1 || refused.Rejections[0].Port != "eth9" {
		t.Fatalf("not a refusal that names eth9: %v", err)
	}
	if !strings.Contains(refused.Rejections[0].Words, "no row") {
		t.Errorf("the switch's words are %q", refused.Rejections[0].Words)
	}
	if after := s.Config("eth1").String(); after != before {
		t.Errorf("eth1 was changed to %s by a change that was refused", after)
	}
	if ports := s.Vsctl("list-ports", "br0"); strings.TrimSpace(ports) != "eth1" {
		t.Errorf("ports: %q", ports)
	}
	moveTo(t, driver, map[string]switchdrivers.Port{"eth1": switchdrivers.Access(10)}) // and the driver is as good as before
}

func TestOVSHostKeysAndLogins(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	other := openvswitch.Start(t)
	hostKey := func(t *testing.T, err error, want string) {
		t.Helper()
		var wrong *switchdrivers.HostKeyError
		if !errors.As(err, &wrong) || wrong.Got != s.Fingerprint() || wrong.Want != want {
			t.Errorf("not a host key error with %q and %q: %v", s.Fingerprint(), want, err)
		}
	}
	refusedLogin := func(t *testing.T, err error, _ string) {
		t.Helper()
		var auth *switchdrivers.AuthError
		if !errors.As(err, &auth) || auth.Username != s.User() {
			t.Errorf("not a refused login of %s: %v", s.User(), err)
		}
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("correct-horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		make  func(*switchdrivers.Switch)
		check func(*testing.T, error, string)
		want  string
	}{
		{"another fingerprint", func(sw *switchdrivers.Switch) { sw.HostKey.Fingerprints = []string{other.Fingerprint()} },
			hostKey, other.Fingerprint()},
		{"no fingerprint", func(sw *switchdrivers.Switch) { sw.HostKey = switchdrivers.HostKey{} }, hostKey, ""},
		{"another user's key", func(sw *switchdrivers.Switch) { sw.Credentials.KeyFile = other.KeyFile() }, refusedLogin, ""},
		{"a password", func(sw *switchdrivers.Switch) {
			sw.Credentials.KeyFile, sw.Credentials.PasswordFile = "", password
		}, refusedLogin, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sw := realSwitch(s)
			c.make(&sw)
			_, err := openReal(t, sw, switchdrivers.Environment{}).Read(t.Context(), switchdrivers.Scope{})
			c.check(t, err, c.want)
			if err != nil && strings.Contains(err.Error(), "correct-horse") {
				t.Errorf("a secret in %q", err)
			}
		})
	}
	if calls := s.Commands(); len(calls) != 0 {
		t.Errorf("commands were run: %q", calls)
	}
	words, err := openReal(t, realSwitch(s), switchdrivers.Environment{}).(switchdrivers.Pinger).Identify(t.Context())
	if err != nil || !strings.Contains(words, "Open vSwitch") {
		t.Errorf("Identify: %q, %v", words, err)
	}
}

func TestOVSWithoutItsDaemonsIsATypedError(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	s.Host("a", "eth1", "10.0.0.1")
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	moveTo(t, driver, map[string]switchdrivers.Port{"eth1": switchdrivers.Access(10)})
	change := switchdrivers.Change{Ports: []switchdrivers.PortChange{
		{Name: "eth1", From: switchdrivers.Access(10), To: switchdrivers.Access(20)}}}
	later := func(err error) {
		t.Helper()
		var busy *switchdrivers.BusyError
		var unreachable *switchdrivers.UnreachableError
		if !errors.As(err, &busy) && !errors.As(err, &unreachable) {
			t.Errorf("not an error that says to try later: %v", err)
		}
	}

	s.StopDaemons()
	_, err := driver.Read(t.Context(), switchdrivers.Scope{})
	later(err)
	later(driver.Apply(t.Context(), change))
	s.StartDaemons()
	if got := readReal(t, driver).Ports["eth1"]; !got.Equal(switchdrivers.Access(10)) {
		t.Errorf("eth1 is %v", got)
	}

	s.StopForwarding() // the database takes the change, nobody carries it out, ovs-vsctl gives up after its ten seconds
	err = driver.Apply(t.Context(), change)
	var unreachable *switchdrivers.UnreachableError
	if !errors.As(err, &unreachable) || !unreachable.Timeout {
		t.Errorf("not a timeout: %v", err)
	}
	s.StartDaemons()
	if got := readReal(t, driver).Ports["eth1"]; !got.Equal(switchdrivers.Access(20)) {
		t.Errorf("eth1 is %v: what was being sent may have taken effect, and here it has", got)
	}
}

func TestOVSABrokenConnectionIsUnreachableAndThenMended(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	s.Host("a", "eth1", "10.0.0.1")
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	moveTo(t, driver, map[string]switchdrivers.Port{"eth1": switchdrivers.Access(10)})

	s.DropSessions()
	readReal(t, driver) // reading twice harms nobody, so the driver connects again by itself

	s.Before("sleep 60")
	ended := make(chan error, 1)
	calls := len(s.Commands())
	go func() {
		ended <- driver.Apply(t.Context(), switchdrivers.Change{Ports: []switchdrivers.PortChange{
			{Name: "eth1", From: switchdrivers.Access(10), To: switchdrivers.Access(20)}}})
	}()
	for len(s.Commands()) == calls { // the change is on its way
		select {
		case err := <-ended:
			t.Fatalf("the change ended before it arrived: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	s.DropSessions()
	var unreachable *switchdrivers.UnreachableError
	if err := <-ended; !errors.As(err, &unreachable) {
		t.Errorf("a connection that broke is %v", err)
	}
	s.Before("")

	s.StopSSH()
	if _, err := driver.Read(t.Context(), switchdrivers.Scope{}); !errors.As(err, &unreachable) {
		t.Errorf("a switch that refuses connections is %v", err)
	}
	s.StartSSH()
	moveTo(t, driver, map[string]switchdrivers.Port{"eth1": switchdrivers.Access(20)})
}

func TestOVSASlowSwitchEndsWithTheContext(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	readReal(t, driver)
	s.Before("sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := driver.Read(ctx, switchdrivers.Scope{}); err == nil {
		t.Error("an answer that never came was read")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestOVSNothingReachesTheShellButAPortName(t *testing.T) {
	t.Parallel()
	s := openvswitch.Start(t)
	s.Host("a", "eth1", "10.0.0.1")
	platform := ovsPlatform(t)
	driver := openReal(t, realSwitch(s), switchdrivers.Environment{})
	moveTo(t, driver, map[string]switchdrivers.Port{"eth1": switchdrivers.Access(10)})
	canary := filepath.Join(t.TempDir(), "canary")
	before := len(s.Commands())
	for _, name := range []string{
		"eth1; touch " + canary, "eth1\ntouch " + canary, "$(touch " + canary + ")", "`touch " + canary + "`", "eth1' ; touch " + canary,
		"eth1 | touch " + canary, "eth1 & touch " + canary, "eth1 -- del-br br0", "-- del-br br0", "--db=tcp:127.0.0.1:1", "--id=@x",
		"eth1\x00", "eth1\r", "eth1\x1b[A", "eth1\t", "\"eth1\"", "é", "", " ", ".", strings.Repeat("e", 10_000),
	} {
		if got, err := platform.PortName(name); err == nil && got != "eth1" && strings.ContainsAny(got, " ;'\"$`|&\n\r\t\x00\x1b<>()*?[]{}~!#\\") {
			t.Errorf("%.60q became the port name %q", name, got)
		}
		// Nobody should, but a change may also be made without asking PortName.
		change := switchdrivers.Change{Ports: []switchdrivers.PortChange{{Name: name, To: switchdrivers.Access(10)}}}
		if err := driver.Apply(t.Context(), change); err == nil {
			t.Errorf("a change of %.60q was accepted", name)
		}
		for _, call := range s.Commands()[before:] {
			for _, word := range call {
				if word == "del-br" || strings.HasPrefix(word, "--db") || strings.HasPrefix(word, "--id") {
					t.Errorf("%.60q became the word %q", name, word)
				}
			}
		}
	}
	for _, text := range []string{"'; touch " + canary + "; '", "\" x=\"y", "$(touch " + canary + ")", "a\nb", "-- del-br br0", "x\\", "a,b={c}"} {
		port := switchdrivers.Access(10)
		port.Description = text
		change := switchdrivers.Change{Ports: []switchdrivers.PortChange{{Name: "eth1", To: port}}}
		if err := driver.Apply(t.Context(), change); err != nil {
			t.Errorf("description %q: %v", text, err)
		}
		if got := readReal(t, driver).Ports["eth1"]; !got.SameForwarding(port) {
			t.Errorf("description %q made the port %v", text, got)
		}
	}
	if _, err := os.Stat(canary); !os.IsNotExist(err) {
		t.Error("a command from a port name or a description was run")
	}
	if bridges := strings.TrimSpace(s.Vsctl("list-br")); bridges != "br0" {
		t.Errorf("bridges: %q", bridges)
	}
	checkColumns(t, s, "eth1", switchdrivers.Access(10))
}
