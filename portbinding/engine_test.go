package portbinding

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// run plays a test in a bubble of its own time: waits cost nothing, and settle returns when every goroutine is idle.
func run(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func wantStatuses(t *testing.T, s *site, n int, want ...string) {
	t.Helper()
	if got := s.outbox.of(port(n)); !slices.Equal(got, want) {
		t.Errorf("results of port %d: got %q, want %q (last message: %s)", n, got, want, s.outbox.last(port(n)).Message)
	}
}

func wantPort(t *testing.T, s *site, sw, name string, want switchdrivers.Port) {
	t.Helper()
	if got := s.switches[sw].port(name); !got.SameForwarding(want) {
		t.Errorf("%s/%s is %q, want %q", sw, name, got, want)
	}
}

func TestBindRebindUnbind(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		wantStatuses(t, s, 1, "bound")
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
		if name := s.switches["leaf1"].vlan(110).Name; name != "net-net-110" {
			t.Errorf("VLAN 110 is named %q", name)
		}
		s.send(at(2, bound(1, 120, "leaf1/Ethernet1")))
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "bound")
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(120))
		if s.switches["leaf1"].vlan(110) != nil {
			t.Error("VLAN 110 was created by us, is used by nobody, and is still there")
		}
		s.send(gone(1, 3, Absent))
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "bound", "released")
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		if d := s.switches["leaf1"].port("Ethernet1").Description; d != "" {
			t.Errorf("the description %q was left behind", d)
		}
		wantPort(t, s, "leaf1", "Ethernet2", switchdrivers.Access(1)) // nobody asked for it
	})
}

// A burst that arrives while the switch is busy is one change (DESIGN: batching for free).
func TestBurstIsOneChange(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		var all []Binding
		for i := 1; i <= 7; i++ {
			all = append(all, bound(i, 100+i, "leaf1/Ethernet"+string(rune('0'+i))))
		}
		s.send(all...)
		synctest.Wait()
		if n := s.switches["leaf1"].changes(); n != 1 {
			t.Errorf("7 bindings took %d changes, want 1", n)
		}
		for i := 1; i <= 7; i++ {
			wantStatuses(t, s, i, "bound")
		}
	})
}

func TestOneBadAppleDoesNotSpoilTheBurst(t *testing.T) {
	for name, refusal := range map[string]func(c switchdrivers.Change) error{
		"named by the switch": func(c switchdrivers.Change) error {
			for _, p := range c.Ports {
				if p.Name == "Ethernet3" && p.To.Mode == switchdrivers.ModeAccess {
					return &switchdrivers.RefusedError{Switch: "leaf1", Rejections: []switchdrivers.Rejection{{Port: p.Name, Line: "x", Words: "% no"}}}
				}
			}
			return nil
		},
		"found by halves": func(c switchdrivers.Change) error {
			for _, p := range c.Ports {
				if p.Name == "Ethernet3" && p.To.Mode == switchdrivers.ModeAccess {
					return &switchdrivers.RefusedError{Switch: "leaf1", Rejections: []switchdrivers.Rejection{{Line: "commit", Words: "% commit failed"}}}
				}
			}
			return nil
		},
		"a VLAN the switch does not like": func(c switchdrivers.Change) error {
			for _, v := range c.VLANs {
				if v.ID == 103 {
					return &switchdrivers.RefusedError{Switch: "leaf1", Rejections: []switchdrivers.Rejection{{VLAN: 103, Line: "vlan 103", Words: "% internal VLAN"}}}
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				s := newSite(t, 1)
				s.switches["leaf1"].state.Ports["Ethernet3"] = switchdrivers.Access(55) // a former tenant's
				s.switches["leaf1"].refuse = refusal
				s.start()
				defer s.stop()
				synctest.Wait()
				var all []Binding
				for i := 1; i <= 7; i++ {
					all = append(all, bound(i, 100+i, "leaf1/Ethernet"+string(rune('0'+i))))
				}
				s.send(all...)
				synctest.Wait()
				for i := 1; i <= 7; i++ {
					if i != 3 {
						wantStatuses(t, s, i, "bound")
					}
				}
				wantStatuses(t, s, 3, "failed/rejected-by-switch")
				// It is not left in the VLAN of whoever was there before.
				wantPort(t, s, "leaf1", "Ethernet3", switchdrivers.Idle())
				// And it is repaired when the switch changes its mind.
				s.switches["leaf1"].fault(func() { s.switches["leaf1"].refuse = nil })
				time.Sleep(time.Hour)
				synctest.Wait()
				wantStatuses(t, s, 3, "failed/rejected-by-switch", "bound")
			})
		})
	}
}

func TestNewcomerWaitsForTheHolder(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.send(bound(2, 120, "leaf1/Ethernet1"))
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/port-taken")
		if m := s.outbox.last(port(2)).Message; !strings.Contains(m, port(1)) {
			t.Errorf("the message does not name the holder: %s", m)
		}
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
		s.send(gone(1, 2, Deleted))
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "released")
		wantStatuses(t, s, 2, "pending/port-taken", "bound")
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(120))
	})
}

// A VLAN is not given to another network while a port may still be in it.
func TestVLANIsQuarantinedUntilVerifiedOut(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		dead := &switchdrivers.UnreachableError{Switch: "leaf1", Doing: "connecting", Err: errors.New("no route to host")}
		s.switches["leaf1"].fault(func() { s.switches["leaf1"].down = dead })
		s.send(gone(1, 2, Deleted))
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "pending/unreachable")
		other := bound(2, 110, "leaf2/Ethernet1")
		other.Network.ID = "another-network"
		s.send(other)
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/vlan-quarantined")
		if m := s.outbox.last(port(2)).Message; !strings.Contains(m, "leaf1/Ethernet1") {
			t.Errorf("the message does not say which port holds the VLAN: %s", m)
		}
		if p := s.switches["leaf2"].port("Ethernet1"); p.VLANs().Contains(110) {
			t.Errorf("leaf2/Ethernet1 is %q while leaf1/Ethernet1 may still be in VLAN 110", p)
		}
		s.switches["leaf1"].fault(func() { s.switches["leaf1"].down = nil })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "pending/unreachable", "released")
		wantStatuses(t, s, 2, "pending/vlan-quarantined", "bound")
	})
}

// A port's own past never blocks that port.
func TestPortMayKeepItsVLANForAnotherNetwork(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		next := bound(2, 110, "leaf1/Ethernet1")
		next.Network.ID = "another-network"
		s.send(gone(1, 2, Deleted), next)
		synctest.Wait()
		wantStatuses(t, s, 2, "bound")
		wantStatuses(t, s, 1, "bound", "released")
	})
}

func TestNewLedgerReadsEverySwitchFirst(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		s.switches["leaf2"].down = &switchdrivers.UnreachableError{Switch: "leaf2", Doing: "connecting", Err: errors.New("refused")}
		s.switches["leaf2"].state.Ports["Ethernet5"] = switchdrivers.Access(110) // nobody knows why
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"), bound(2, 120, "leaf1/Ethernet2"))
		synctest.Wait()
		wantStatuses(t, s, 1, "pending/not-surveyed")
		s.switches["leaf2"].fault(func() { s.switches["leaf2"].down = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 1, "pending/not-surveyed", "pending/vlan-quarantined")
		wantStatuses(t, s, 2, "pending/not-surveyed", "bound")
		if m := s.outbox.last(port(1)).Message; !strings.Contains(m, "switchbind release leaf2/Ethernet5") {
			t.Errorf("the message does not say how to release the port: %s", m)
		}
		wantPort(t, s, "leaf2", "Ethernet5", switchdrivers.Access(110)) // not ours to touch
		if _, err := s.engine.Release(context.Background(), OperatorRequest{Switch: "leaf2", Port: "Ethernet5", By: "op", Because: "old tenant"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantPort(t, s, "leaf2", "Ethernet5", switchdrivers.Idle())
		wantStatuses(t, s, 1, "pending/not-surveyed", "pending/vlan-quarantined", "bound")
	})
}

func TestDriftIsRepairedOrReported(t *testing.T) {
	for _, policy := range []string{"repair", "report"} {
		t.Run(policy, func(t *testing.T) {
			run(t, func(t *testing.T) {
				s := newSite(t, 1, func(sw *switchdrivers.Switch) { sw.Drift = policy })
				s.start()
				defer s.stop()
				synctest.Wait()
				s.send(bound(1, 110, "leaf1/Ethernet1"))
				synctest.Wait()
				s.switches["leaf1"].set("Ethernet1", switchdrivers.Access(666))
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				if n := len(s.outbox.drifts); n != 1 {
					t.Errorf("%d drift events, want 1", n)
				}
				if policy == "repair" {
					wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
					wantStatuses(t, s, 1, "bound")
					return
				}
				wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(666))
				wantStatuses(t, s, 1, "bound", "failed/verify-mismatch")
				if err := s.engine.Rebind(context.Background(), RebindRequest{PortID: port(1), RequestID: "r1"}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
				if r := s.outbox.last(port(1)); r.Status != StatusBound || r.RequestID != "r1" {
					t.Errorf("rebind was answered with %q, request id %q", r.Status, r.RequestID)
				}
			})
		})
	}
}

// A switch that says yes and does nothing is found out.
func TestAcceptedIsNotVerified(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.switches["leaf1"].ignore["Ethernet1"] = true
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		wantStatuses(t, s, 1, "failed/verify-mismatch")
		s.switches["leaf1"].fault(func() { clear(s.switches["leaf1"].ignore) })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 1, "failed/verify-mismatch", "bound")
	})
}

func TestSaveIsDebouncedAndShown(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		for i := 1; i <= 3; i++ {
			s.send(bound(i, 100+i, "leaf1/Ethernet"+string(rune('0'+i))))
			synctest.Wait()
		}
		views, _ := s.engine.Switches(context.Background())
		if !views[0].Unsaved || s.switches["leaf1"].saveCount() != 0 {
			t.Errorf("right after the change: unsaved %v, %d saves", views[0].Unsaved, s.switches["leaf1"].saveCount())
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		views, _ = s.engine.Switches(context.Background())
		if views[0].Unsaved || s.switches["leaf1"].saveCount() != 1 {
			t.Errorf("after it was quiet: unsaved %v, %d saves, want one", views[0].Unsaved, s.switches["leaf1"].saveCount())
		}
	})
}

// A crash between change and save must not make us forget that the switch is unsaved.
func TestUnsavedSurvivesRestart(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.stop()
		s.start()
		defer s.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.switches["leaf1"].saveCount() != 1 {
			t.Errorf("%d saves after the restart, want 1", s.switches["leaf1"].saveCount())
		}
	})
}

func TestAuthenticationIsNotHammered(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.switches["leaf1"].fault(func() {
			s.switches["leaf1"].down = &switchdrivers.AuthError{Switch: "leaf1", Username: "u", Err: errors.New("denied")}
			s.switches["leaf1"].reads = 0
		})
		for i := range 20 {
			s.send(at(int64(i+1), bound(1, 100+i, "leaf1/Ethernet1")))
			time.Sleep(20 * time.Second)
		}
		synctest.Wait()
		n := 0
		s.switches["leaf1"].fault(func() { n = s.switches["leaf1"].reads })
		if n != 1 {
			t.Errorf("%d log-ins within 7 minutes after the first was refused, want 1", n)
		}
		if got := s.outbox.last(port(1)); got.Reason != ReasonAuthFailed {
			t.Errorf("the newest binding was answered %s/%s", got.Status, got.Reason)
		}
	})
}

func TestFenceStopsTheWrite(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.fence = func(context.Context) error { return errors.New("another process owns the switch") }
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		if n := s.switches["leaf1"].changes(); n != 0 {
			t.Errorf("%d changes were written without owning the switch", n)
		}
	})
}

func TestDryRunWritesNothing(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.opt.DryRun = true
		s.switches["leaf1"].state.Ports["Ethernet2"] = switchdrivers.Access(120)
		s.switches["leaf1"].state.VLANs[120] = switchdrivers.VLAN{}
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"), bound(2, 120, "leaf1/Ethernet2"))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 1, "pending/dry-run")
		wantStatuses(t, s, 2, "bound") // it is what it should be: that much was verified
		if n := s.switches["leaf1"].changes() + s.switches["leaf1"].saveCount(); n != 0 {
			t.Errorf("a dry run wrote %d times", n)
		}
	})
}

// What arrives while the switch is being read is part of the same change.
func TestWhatArrivesDuringTheLoginIsPartOfTheChange(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		leaf := s.switches["leaf1"]
		leaf.fault(func() { leaf.delay = time.Second })
		for i := 1; i <= 7; i++ {
			s.send(bound(i, 100+i, "leaf1/Ethernet"+string(rune('0'+i))))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := leaf.changes(); n != 1 {
			t.Errorf("7 bindings within one login took %d changes, want 1", n)
		}
	})
}
