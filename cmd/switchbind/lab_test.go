package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/switchbind/switchbind/fixtures/lab"
	"github.com/switchbind/switchbind/fixtures/virtualswitch"
	"github.com/switchbind/switchbind/fixtures/virtualswitch/gnmiserver"
	"github.com/switchbind/switchbind/portbinding"
)

// tell is a stream that tests read while it is written.
type tell struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *tell) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *tell) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// await waits until the stream has a text.
func (w *tell) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(w.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never saw %q in:\n%s", text, w.String())
		}
	}
}

// noTraces checks that a lab leaves neither goroutines nor files behind.
func noTraces(t *testing.T) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, ignore)
		left, err := os.ReadDir(os.Getenv("TMPDIR"))
		if err != nil || len(left) > 0 {
			t.Errorf("files are left: %v %v", left, err)
		}
	})
}

func runLab(t *testing.T, o labOptions) (code int, report labReport, errOut string) {
	t.Helper()
	var out, said tell
	a := &app{in: strings.NewReader(""), out: &out, errOut: &said, makeEngine: newEngine, output: "json", began: true}
	code = a.report(&cobra.Command{}, a.lab(t.Context(), o))
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), said.String())
	}
	return code, report, said.String()
}

func reaches(t *testing.T, r labReport, after, machine string) []string {
	t.Helper()
	for _, table := range r.Tables {
		for _, row := range table.Rows {
			if table.After == after && row.Machine == machine {
				return row.Reaches
			}
		}
	}
	t.Fatalf("no row of %s after %s in %+v", machine, after, r)
	return nil
}

func TestLab(t *testing.T) {
	noTraces(t)
	code, r, errOut := runLab(t, labOptions{})
	if code != exitVerified || !r.OK || len(r.Wrong)+len(r.Breaches) > 0 {
		t.Fatalf("exit code %d, %v %v\n%s", code, r.Wrong, r.Breaches, errOut)
	}
	// Written down here and not taken from the lab: it must not be its own judge.
	for _, c := range []struct{ after, machine, reaches string }{
		{"survey", "vm-1", ""}, {"survey", "vm-2", ""}, {"survey", "iron-1", ""},
		{"bind", "vm-1", "iron-1 iron-2"}, {"bind", "iron-1", "vm-1 iron-2"}, {"bind", "iron-2", "vm-1 iron-1"},
		{"bind", "vm-2", "iron-3"}, {"bind", "iron-3", "vm-2"}, {"bind", "iron-4", "iron-5 iron-6"},
		{"refuse", "iron-1", "vm-1 iron-2"},
		{"rebind", "vm-1", "iron-1"}, {"rebind", "iron-2", "vm-2 iron-3"}, {"rebind", "vm-2", "iron-2 iron-3"},
		{"unbind", "iron-1", ""}, {"unbind", "vm-1", ""}, {"unbind", "iron-2", "vm-2 iron-3"},
	} {
		if got := strings.Join(reaches(t, r, c.after, c.machine), " "); got != c.reaches {
			t.Errorf("after %s, %s reaches %q, want %q", c.after, c.machine, got, c.reaches)
		}
	}
	var names []string
	for _, s := range r.Steps {
		names = append(names, s.Name)
		if !s.OK || s.Problem != "" || !strings.Contains(errOut, s.Title) {
			t.Errorf("step %+v; said:\n%s", s, errOut)
		}
	}
	if got := strings.Join(names, " "); got != "start survey bind refuse rebind unbind" {
		t.Errorf("steps are %s", got)
	}
	for _, result := range r.Steps[3].Results {
		if result.Status != portbinding.StatusRefused || result.Reason != portbinding.ReasonPortProtected {
			t.Errorf("a protected port: %+v", result)
		}
	}
	if r.Frames < 100 {
		t.Errorf("only %d frames were seen", r.Frames)
	}
}

// A lab whose switches are not as they should be says so, names the row, and is exit 1.
func TestLabFindsSabotage(t *testing.T) {
	for name, c := range map[string]struct {
		step  string
		do    func(t *testing.T, n *lab.Network)
		wrong []string // each is part of one of the faults found
		stops string   // the step that fails
	}{
		"a switch says OK and does nothing": {
			step: "bind", stops: "bind",
			do: func(_ *testing.T, n *lab.Network) {
				n.Leaf2GNMI.SetFaults(gnmiserver.Faults{Ignore: []string{"Ethernet1"}})
			},
			wrong: []string{"after bind: iron-2 at leaf2/Ethernet1 (tenant-a) reaches nobody, and should reach vm-1, iron-1",
				"bind: iron-2 is failed: verify-mismatch"},
		},
		"the hypervisor's trunk lacks a VLAN": {
			step: "survey", stops: "bind",
			do: func(t *testing.T, n *lab.Network) {
				edit(t, n.Leaf1, "Ethernet9", func(p *virtualswitch.PortConfig) { p.TrunkAllowed = virtualswitch.VLANs(120) })
			},
			wrong: []string{"after bind: vm-1 at leaf1/Ethernet9 (tenant-a) reaches nobody, and should reach iron-1, iron-2",
				"after bind: iron-1 at leaf1/Ethernet1 (tenant-a) reaches iron-2, and should reach vm-1, iron-2"},
		},
		"somebody puts a server into another tenant's VLAN": {
			step: "refuse", stops: "refuse",
			do: func(t *testing.T, n *lab.Network) {
				edit(t, n.Leaf2, "Ethernet2", func(p *virtualswitch.PortConfig) { p.AccessVLAN = 110 })
			},
			wrong: []string{"after refuse: iron-3 at leaf2/Ethernet2 (tenant-b) reaches vm-1, iron-1, iron-2, and should reach vm-2",
				"during refuse: iron-3 (tenant-b) got "},
		},
		"and takes it out again before anybody measures": {
			step: "refuse", stops: "refuse",
			do: func(t *testing.T, n *lab.Network) {
				edit(t, n.Leaf2, "Ethernet2", func(p *virtualswitch.PortConfig) { p.AccessVLAN = 110 })
				for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
					if _, breaches := n.Seen(); len(breaches) > 0 {
						break
					}
					if time.Now().After(deadline) {
						t.Error("nobody noticed")
						break
					}
				}
				edit(t, n.Leaf2, "Ethernet2", func(p *virtualswitch.PortConfig) { p.AccessVLAN = 120 })
			},
			wrong: []string{"during refuse: "},
		},
		"a switch refuses to let go": {
			step: "unbind", stops: "unbind",
			do: func(_ *testing.T, n *lab.Network) {
				n.Leaf1.SetFaults(virtualswitch.Faults{CommitFailure: "% Internal error: commit failed"})
			},
			wrong: []string{"after unbind: iron-1 at leaf1/Ethernet1 (in no segment) reaches vm-1, and should reach nobody", "unbind: iron-1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			noTraces(t)
			code, r, errOut := runLab(t, labOptions{before: func(step string, n *lab.Network) {
				if step == c.step {
					c.do(t, n)
				}
			}})
			if code != exitFailed || r.OK {
				t.Errorf("exit code %d", code)
			}
			for _, want := range c.wrong {
				if !slices.ContainsFunc(r.Wrong, func(s string) bool { return strings.Contains(s, want) }) || !strings.Contains(errOut, "switchbind: "+want) {
					t.Errorf("%q was not found. Found:\n%s\nsaid:\n%s", want, strings.Join(r.Wrong, "\n"), errOut)
				}
			}
			if last := r.Steps[len(r.Steps)-1]; last.Name != c.stops || last.OK {
				t.Errorf("the last step is %+v", last)
			}
		})
	}
}

func edit(t *testing.T, leaf *virtualswitch.EOS, port string, change func(*virtualswitch.PortConfig)) {
	err := leaf.Switch().Change(func(c *virtualswitch.Config) error {
		if !c.EditPort(port, change) {
			t.Errorf("no port %s", port)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// What is left running can be used with the verbs, and says what changes.
func TestLabKeep(t *testing.T) {
	noTraces(t)
	var out, said tell
	logFile := filepath.Join(t.TempDir(), "log")
	ctx, stop := context.WithCancel(t.Context())
	a := &app{in: strings.NewReader(""), out: &out, errOut: &said, makeEngine: newEngine, output: "json", began: true}
	ended := make(chan int)
	go func() { ended <- a.report(&cobra.Command{}, a.lab(ctx, labOptions{keep: true, logFile: logFile})) }()
	said.await(t, "Running until Ctrl-C")
	var r labReport
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil || r.Access == nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	for _, s := range r.Access.Switches {
		if !strings.HasPrefix(s.SSH, "ssh -p ") || (s.Switch == "leaf2") != (s.GNMI != "") {
			t.Errorf("%+v", s)
		}
	}
	verb := func(args ...string) string {
		t.Helper()
		var out, errOut tell
		if code := run(append([]string{"--nats", r.Access.NATS}, args...), strings.NewReader(""), &out, &errOut); code != 0 {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, out.String(), errOut.String())
		}
		return out.String()
	}
	if text := verb("list"); !strings.Contains(text, "22222222-") || strings.Contains(text, "11111111-") {
		t.Errorf("list says\n%s", text)
	}
	if text := verb("config", "check", r.Access.Config); strings.Contains(text, "warning") {
		t.Errorf("config check says\n%s", text)
	}
	// The examples are there to be copied: they must work.
	for _, line := range r.Access.Try {
		verb(strings.Fields(strings.TrimPrefix(line, programName()+" "))...)
	}
	// Bound again, next to vm-1; and iron-3 moved there, which the lab was not told of and does not call wrong.
	said.await(t, "iron-1   yes   -             -       yes")
	stop()
	if code := <-ended; code != exitVerified {
		t.Errorf("exit code %d\n%s", code, said.String())
	}
	if log, err := os.ReadFile(logFile); err != nil || !bytes.Contains(log, []byte("switch changed and read back")) {
		t.Errorf("the log: %v\n%s", err, log)
	}
}

// Ctrl-C in the middle ends it at once and leaves nothing.
func TestLabInterrupted(t *testing.T) {
	for _, at := range []string{"survey", "bind", "unbind"} {
		t.Run(at, func(t *testing.T) {
			noTraces(t)
			ctx, stop := context.WithCancel(t.Context())
			a := &app{in: strings.NewReader(""), out: io.Discard, errOut: io.Discard, makeEngine: newEngine, output: "table", began: true}
			err := a.lab(ctx, labOptions{before: func(step string, _ *lab.Network) {
				if step == at {
					stop()
				}
			}})
			if code := a.report(&cobra.Command{}, err); code != exitFailed {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestExamplesNameWhatWasTyped(t *testing.T) {
	for exe, want := range map[string]bool{
		"/tmp/go-build123/b001/exe/switchbind": true,
		"/root/.cache/go-build/31/31d94439035746ecbe48cc23679ea225d43a0d5c446c9335563723d5bd70d3df-d/switchbind": true,
		"/usr/local/bin/switchbind": false,
		"/home/op/a-d/switchbind":   false,
	} {
		if got := builtByGoRun(exe); got != want {
			t.Errorf("%s: built by go run: %v, want %v", exe, got, want)
		}
	}
}
