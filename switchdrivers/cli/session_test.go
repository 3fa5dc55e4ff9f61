package cli

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

const tinyConfig = "! Command: show running-config\n!\nvlan 110\n   name net-a\n!\ninterface Ethernet1\n   description ends in leaf1#\n" +
	"   switchport access vlan 110\n!\nend"

// answerAll is a switch that takes every line.
func answerAll(line string) (string, string) {
	if line == "show running-config" {
		return tinyConfig, ""
	}
	return "", ""
}

func TestPromptLookalikes(t *testing.T) {
	s := startFake(t, func(s *fakeServer) {
		s.shell = func(f *fakeShell) {
			f.print("Welcome\nother#\nleaf0>\nkeep out #\n")
			dialogue("leaf1#", answerAll)(f)
		}
	})
	d := open(t, platform(t, "arista_eos"), describe(t, s), switchdrivers.Environment{})
	state, err := d.Read(t.Context(), switchdrivers.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	want := switchdrivers.Access(110)
	want.Description = "ends in leaf1#"
	if got := state.Ports["Ethernet1"]; !got.Equal(want) {
		t.Errorf("got %+v", got)
	}
}

// Many lines under way at once, answered at odd moments and in odd pieces: each answer belongs to its line, late errors too.
func TestPipelinedAnswersBelongToTheirLines(t *testing.T) {
	for name, print := range map[string]func(f *fakeShell, line, prompt string){
		"in order": func(f *fakeShell, line, prompt string) { f.print(line + "\nanswer to " + line + "\n" + prompt) },
		"byte by byte": func(f *fakeShell, line, prompt string) {
			for _, c := range []byte(line + "\nanswer to " + line + "\n" + prompt) {
				f.print(string(c))
			}
		},
		"late": func(f *fakeShell, line, prompt string) { f.print(line + "\n" + prompt + "\nanswer to " + line + "\n") },
		"with control sequences": func(f *fakeShell, line, prompt string) {
			f.print(line + "\x1b[K\n\x1b")
			f.print("[0manswer to " + line + "\n" + prompt)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startFake(t, func(s *fakeServer) {
				s.shell = func(f *fakeShell) {
					f.print("leaf1#")
					for i := 0; ; i++ {
						line, err := f.in.ReadString('\n')
						if err != nil {
							return
						}
						line = strings.TrimSpace(line)
						if i < 2 { // the preparation
							f.print(line + "\nleaf1#")
						} else {
							print(f, line, "leaf1#")
						}
					}
				}
			})
			term, err := openTerminal(t.Context(), describe(t, s), switchdrivers.Environment{}, platform(t, "arista_eos").dialect)
			if err != nil {
				t.Fatal(err)
			}
			defer term.close()
			var lines []string
			for i := range 200 {
				lines = append(lines, "line "+strings.Repeat("x", i%40)+" number "+switchdrivers.VLANID(i).String())
			}
			answers, err := term.run(t.Context(), "testing", append(lines, "the end"), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range lines {
				if got := strings.TrimSpace(answers[i].text); got != "answer to "+line {
					t.Fatalf("line %d %q got %q", i, line, got)
				}
			}
		})
	}
}

func TestStrangePromptIsUnreadable(t *testing.T) {
	for name, shell := range map[string]func(*fakeShell){
		"at login":         func(f *fakeShell) { f.print("Press RETURN to get started. Login as:"); _, _ = f.line() },
		"after a question": dialogue("leaf1#", func(line string) (string, string) { return "", "Proceed with reload? [confirm]" }),
	} {
		s := startFake(t, func(s *fakeServer) { s.shell = shell })
		sw := describe(t, s)
		sw.Timeouts.Connect, sw.Timeouts.Command = 100*time.Millisecond, 100*time.Millisecond
		d := open(t, platform(t, "arista_eos"), sw, switchdrivers.Environment{})
		_, err := d.Read(t.Context(), switchdrivers.Scope{})
		var unreadable *switchdrivers.UnreadableError
		if !errors.As(err, &unreadable) || unreadable.Saw == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestSilenceIsUnreachable(t *testing.T) {
	var lines atomic.Int64
	hang := func(f *fakeShell) {
		dialogue("leaf1#", func(line string) (string, string) {
			if lines.Add(1) > 2 {
				_, _ = f.in.ReadByte() // until the connection is closed
			}
			return "", ""
		})(f)
	}
	s := startFake(t, func(s *fakeServer) { s.shell = hang })
	sw := describe(t, s)
	sw.Timeouts.Command = 100 * time.Millisecond
	d := open(t, platform(t, "arista_eos"), sw, switchdrivers.Environment{})
	_, err := d.Read(t.Context(), switchdrivers.Scope{})
	var unreachable *switchdrivers.UnreachableError
	if !errors.As(err, &unreachable) || !unreachable.Timeout {
		t.Fatalf("got %v", err)
	}
	lines.Store(0)
	sw.Timeouts.Command = time.Minute
	d = open(t, platform(t, "arista_eos"), sw, switchdrivers.Environment{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err = d.Read(ctx, switchdrivers.Scope{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestDeadWarmSessionIsReplacedOnceForReading(t *testing.T) {
	s := startFake(t, func(s *fakeServer) { s.shell = dialogue("leaf1#", answerAll) })
	d := open(t, platform(t, "arista_eos"), describe(t, s), switchdrivers.Environment{})
	for range 3 {
		if _, err := d.Read(t.Context(), switchdrivers.Scope{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.logins.Load(); n != 1 {
		t.Errorf("%d logins for three reads on a warm session", n)
	}
	s.cut()
	if _, err := d.Read(t.Context(), switchdrivers.Scope{}); err != nil {
		t.Fatal(err)
	}
	if n := s.logins.Load(); n != 2 {
		t.Errorf("%d logins", n)
	}
}

func TestIdleSessionIsClosed(t *testing.T) {
	s := startFake(t, func(s *fakeServer) { s.shell = dialogue("leaf1#", answerAll) })
	sw := describe(t, s)
	sw.Timeouts.Idle = 20 * time.Millisecond
	d := open(t, platform(t, "arista_eos"), sw, switchdrivers.Environment{})
	if _, err := d.Read(t.Context(), switchdrivers.Scope{}); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(5 * time.Second)
	for closed := false; !closed; {
		select {
		case <-deadline:
			t.Fatal("the idle session is still there")
		case <-time.After(5 * time.Millisecond):
			d.mu.Lock()
			closed = d.line == nil
			d.mu.Unlock()
		}
	}
}

func TestEnable(t *testing.T) {
	for _, secret := range []string{"letmein", "wrong"} {
		s := startFake(t, func(s *fakeServer) {
			s.shell = func(f *fakeShell) {
				mark := ">"
				for {
					f.print("leaf1" + mark)
					line, ok := f.line()
					switch {
					case !ok:
						return
					case line == "enable":
						f.print("Password: ")
						given, _ := f.in.ReadString('\n')
						f.print("\n")
						if strings.TrimSpace(given) == "letmein" {
							mark = "#"
						} else {
							f.print("% Bad secret\n")
						}
					case line == "show running-config" && mark == "#":
						f.print(tinyConfig + "\n")
					case line == "show running-config":
						f.print("% Invalid input (privileged mode required)\n")
					}
				}
			}
		})
		sw := describe(t, s)
		sw.Credentials.EnablePasswordFile = secretFile(t, secret)
		var traced strings.Builder
		d := open(t, platform(t, "arista_eos"), sw, switchdrivers.Environment{Trace: func(_, text string) { traced.WriteString(text + "\n") }})
		_, err := d.Read(t.Context(), switchdrivers.Scope{})
		var auth *switchdrivers.AuthError
		if secret == "letmein" && err != nil || secret == "wrong" && !errors.As(err, &auth) {
			t.Errorf("%s: %v", secret, err)
		}
		if strings.Contains(traced.String(), secret) || !strings.Contains(traced.String(), "terminal length 0") {
			t.Errorf("the trace is %q", traced.String())
		}
	}
}

// A switch that is another NOS than configured says so itself.
func TestAnotherNOS(t *testing.T) {
	s := startFake(t, func(s *fakeServer) {
		s.shell = dialogue("leaf1#", func(line string) (string, string) {
			switch line {
			case "show version":
				return "Cisco IOS Software, C3750E Software (C3750E-UNIVERSALK9-M), Version 15.2(4)E10", ""
			case "show running-config":
				return "Building configuration...\n\nversion 15.2\ninterface GigabitEthernet1/0/1\n switchport access vlan 110\nend", ""
			}
			return "", ""
		})
	})
	d := open(t, platform(t, "arista_eos"), describe(t, s), switchdrivers.Environment{})
	if words, err := d.Identify(t.Context()); !is[*switchdrivers.UnreadableError](err) {
		t.Errorf("it is taken for %q (%v)", words, err)
	}
	if state, err := d.Read(t.Context(), switchdrivers.Scope{}); !is[*switchdrivers.UnreadableError](err) {
		t.Errorf("it reads as %+v (%v)", state, err)
	}
}
