package cli

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/switchbind/switchbind/fixtures/virtualswitch"
	"github.com/switchbind/switchbind/switchdrivers"
)

func TestEOSFaults(t *testing.T) {
	eos, sw := startEOS(t, 150) // more lines than any page has
	impatient := sw             // for the faults that are noticed by waiting
	impatient.Timeouts.Connect = 500 * time.Millisecond
	p := platform(t, "arista_eos")
	refusedOn := func(port string) func(error) bool {
		return func(err error) bool {
			var refused *switchdrivers.RefusedError
			return errors.As(err, &refused) && len(refused.Rejections) == 1 && refused.Rejections[0].Port == port
		}
	}
	transient := is[*switchdrivers.UnreachableError]
	for name, test := range map[string]struct {
		faults virtualswitch.Faults
		is     func(error) bool
		read   bool // a read fails, too
	}{
		"silent":        {virtualswitch.Faults{SilentAccept: true}, transient, true},
		"login refused": {virtualswitch.Faults{RejectLogins: true}, is[*switchdrivers.AuthError], true},
		"no prompt":     {virtualswitch.Faults{HangAtPrompt: true, MOTD: "Welcome"}, is[error], true},
		"slow login":    {virtualswitch.Faults{LoginDelay: 5 * time.Second}, transient, true},
		"paging":        {virtualswitch.Faults{Paging: true}, nil, false},
		"refused line":  {virtualswitch.Faults{RefuseLine: regexp.MustCompile(`switchport access vlan 101`)}, refusedOn("Ethernet2"), false},
		"refused port":  {virtualswitch.Faults{RefuseLine: regexp.MustCompile(`^interface Ethernet1$`)}, refusedOn("Ethernet1"), false},
		"refused VLAN":  {virtualswitch.Faults{RefuseLine: regexp.MustCompile(`^vlan 101$`)}, refusedOn(""), false},
		"late error": {virtualswitch.Faults{LateError: regexp.MustCompile(`switchport access vlan 101`), LateText: "% Error: no more resources"},
			is[*switchdrivers.RefusedError], false},
		"no session": {virtualswitch.Faults{RefuseLine: regexp.MustCompile(`^configure session`),
			RefuseText: "% Maximum number of pending sessions has been reached. Please commit or abort previous sessions before " +
				"creating a new one."}, is[*switchdrivers.BusyError], false},
		"locked":         {virtualswitch.Faults{LockedByOther: true}, is[*switchdrivers.BusyError], false},
		"commit refused": {virtualswitch.Faults{CommitFailure: "% Cannot commit: Ethernet2 has no such capability"}, refusedOn("Ethernet2"), false},
		"diffs refused":  {virtualswitch.Faults{RefuseLine: regexp.MustCompile(`^show session-config`)}, is[error], false},
		"banner":         {virtualswitch.Faults{Banner: "Keep out\n", MOTD: "leaf0#\nother>\n% Invalid input\n"}, nil, false},
		"slow lines":     {virtualswitch.Faults{LineDelay: 3 * time.Millisecond}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			eos.SetFaults(virtualswitch.Faults{})
			d := open(t, p, sw, switchdrivers.Environment{})
			before := mustRead(t, d)
			want := before.Clone()
			want.VLANs[100], want.VLANs[101] = switchdrivers.VLAN{Name: "net-a"}, switchdrivers.VLAN{}
			want.Ports["Ethernet1"], want.Ports["Ethernet2"] = switchdrivers.Access(100), switchdrivers.Access(101)
			change := switchdrivers.Diff(before, want)
			_ = d.Close()
			d = open(t, p, sw, switchdrivers.Environment{})
			eos.SetFaults(test.faults)
			if test.read {
				d = open(t, p, impatient, switchdrivers.Environment{})
				if _, err := d.Read(t.Context(), switchdrivers.Scope{}); !test.is(err) {
					t.Errorf("reading: %v", err)
				}
			}
			err := d.Apply(t.Context(), change)
			if n := pendingSessions(eos); n != 0 {
				t.Errorf("%d sessions are left by the failure itself", n)
			}
			if test.is == nil && err != nil || test.is != nil && (err == nil || !test.is(err)) {
				t.Errorf("applying: %v", err)
			}
			eos.SetFaults(virtualswitch.Faults{})
			d = open(t, p, sw, switchdrivers.Environment{})
			after := mustRead(t, d)
			if err != nil {
				if left := switchdrivers.Diff(before, after); !left.IsEmpty() {
					t.Errorf("something was changed: %+v", left)
				}
				// The same change goes through once the fault is gone, and nothing is left of the first attempt.
				if err := d.Apply(t.Context(), change); err != nil {
					t.Error(err)
				}
				after = mustRead(t, d)
			}
			if left := switchdrivers.Diff(after, want); !left.IsEmpty() {
				t.Errorf("left over: %+v", left)
			}
			for _, s := range eos.Switch().Sessions() {
				if s.State == virtualswitch.SessionPending {
					t.Errorf("the session %s is left", s.Name)
				}
			}
			back := switchdrivers.Diff(after, before)
			if err := d.Apply(t.Context(), back); err != nil {
				t.Error(err)
			}
		})
	}
}

// The connection breaks, or the switch hangs, at every single line of a change: the error says so, nothing or everything is done,
// and the next attempt succeeds and cleans up.
func TestEOSBreaksAtEveryLine(t *testing.T) {
	eos, sw := startEOS(t, 2)
	impatient := sw
	impatient.Timeouts.Command, impatient.Timeouts.Commit = 400*time.Millisecond, 400*time.Millisecond
	p := platform(t, "arista_eos")
	state := mustRead(t, open(t, p, sw, switchdrivers.Environment{}))
	vlan := switchdrivers.VLANID(100)
	for at := 1; ; at++ {
		for _, faults := range []virtualswitch.Faults{{DropAtLine: at}, {HangAtLine: at}} {
			vlan++
			want := state.Clone()
			want.Ports["Ethernet1"] = switchdrivers.Access(vlan)
			change := switchdrivers.Diff(state, want)
			broken, d := open(t, p, impatient, switchdrivers.Environment{}), open(t, p, sw, switchdrivers.Environment{})
			mustRead(t, broken)
			eos.SetFaults(faults)
			err := broken.Apply(t.Context(), change)
			if err == nil {
				if at < 12 {
					t.Errorf("%+v went unnoticed", faults)
				}
				eos.SetFaults(virtualswitch.Faults{})
				if n := pendingSessions(eos); n != 0 {
					t.Errorf("%d sessions are left", n)
				}
				return
			}
			var unreachable *switchdrivers.UnreachableError
			if !errors.As(err, &unreachable) {
				t.Errorf("%+v: %v", faults, err)
			}
			eos.SetFaults(virtualswitch.Faults{})
			now := mustRead(t, d)
			if !now.Ports["Ethernet1"].Equal(state.Ports["Ethernet1"]) && !now.Ports["Ethernet1"].Equal(want.Ports["Ethernet1"]) {
				t.Errorf("%+v: half done: %v", faults, now.Ports["Ethernet1"])
			}
			if err := d.Apply(t.Context(), switchdrivers.Diff(now, state)); err != nil && !switchdrivers.Diff(now, state).IsEmpty() {
				t.Error(err)
			}
			// An empty change sends nothing, and cleans up nothing either.
			if err := d.sweepNow(t.Context()); err != nil {
				t.Error(err)
			}
			if n := pendingSessions(eos); n != 0 {
				t.Errorf("%+v: %d sessions are left", faults, n)
			}
			state = mustRead(t, d)
		}
	}
}
