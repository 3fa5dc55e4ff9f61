package portbinding

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// A switch may leave the configuration while it is read for the first time, or while it is planned for.
func TestSwitchLeavesTheConfigurationInTheMiddleOfAReading(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		s.switches["leaf2"].onRead = func() { time.Sleep(30 * time.Second) }
		s.start()
		defer s.stop()
		synctest.Wait()
		both := s.config
		s.config = both[:1]
		if err := s.engine.SetInventory(background, s.inventory()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.config = both
		if err := s.engine.SetInventory(background, s.inventory()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		planned := make(chan error)
		go func() {
			_, err := s.engine.Plan(background, PlanRequest{})
			planned <- err
		}()
		synctest.Wait()
		s.config = both[:1]
		if err := s.engine.SetInventory(background, s.inventory()); err != nil {
			t.Fatal(err)
		}
		if err := <-planned; err != nil {
			t.Error(err)
		}
	})
}

// A person who gives up waiting for a plan leaves nothing behind.
func TestPlanCanBeGivenUp(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.switches["leaf1"].fault(func() { s.switches["leaf1"].onRead = func() { time.Sleep(30 * time.Second) } })
		ctx, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		views, err := s.engine.Plan(ctx, PlanRequest{Switch: "leaf1"})
		if err != nil || len(views) != 1 || views[0].Error == "" {
			t.Errorf("plan of a switch that does not answer in time: %+v, %v", views, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}

// A worker that may not work sleeps, whatever was due: a busy loop would hang this test.
func TestWorkerSleepsWhileItMayNotWork(t *testing.T) {
	for name, away := range map[string]func(*site){
		"disowned": func(s *site) { s.engine.Disown("leaf1") },
		"paused": func(s *site) {
			if _, err := s.engine.Pause(background, OperatorRequest{Switch: "leaf1", By: "op", Because: "maintenance"}); err != nil {
				s.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				s := newSite(t, 1)
				s.switches["leaf1"].ignore["Ethernet2"] = true
				s.start()
				defer s.stop()
				synctest.Wait()
				s.send(bound(1, 110, "leaf1/Ethernet1"), bound(2, 120, "leaf1/Ethernet2"))
				synctest.Wait()
				s.kill("leaf1")
				s.send(at(2, bound(1, 111, "leaf1/Ethernet1")))
				synctest.Wait()
				away(s)
				time.Sleep(time.Hour)
				synctest.Wait()
				s.revive("leaf1")
				if _, err := s.engine.Resume(background, OperatorRequest{Switch: "leaf1", By: "op"}); err != nil {
					t.Fatal(err)
				}
				s.engine.Wake("leaf1", s.fence)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(111))
			})
		})
	}
}

// A port that the switch will not even make idle is tried at a growing distance, not in a loop.
func TestRefusedPortIsNotHammered(t *testing.T) {
	for name, last := range map[string]Binding{"bind": bound(1, 110, "leaf1/Ethernet1"), "unbind": gone(1, 2, Absent)} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				s := newSite(t, 1)
				leaf1 := s.switches["leaf1"]
				s.start()
				defer s.stop()
				synctest.Wait()
				if name == "unbind" {
					s.send(bound(1, 110, "leaf1/Ethernet1"))
					synctest.Wait()
				}
				asked := 0
				leaf1.fault(func() {
					leaf1.refuse = func(c switchdrivers.Change) error {
						if asked++; asked > 1000 {
							panic("a thousand times")
						}
						for _, p := range c.Ports {
							if p.Name == "Ethernet1" {
								return &switchdrivers.RefusedError{Switch: "leaf1", Rejections: []switchdrivers.Rejection{{Port: p.Name, Words: "no"}}}
							}
						}
						return nil
					}
				})
				s.send(last)
				time.Sleep(time.Hour)
				synctest.Wait()
				if asked < 3 || asked > 60 {
					t.Errorf("the switch was asked %d times within an hour", asked)
				}
				if r := s.outbox.last(port(1)); r.Reason != ReasonRejected {
					t.Errorf("answered %s/%s", r.Status, r.Reason)
				}
				leaf1.fault(func() { leaf1.refuse = nil })
				time.Sleep(time.Hour)
				synctest.Wait()
				if r := s.outbox.last(port(1)); r.Reason != ReasonNone {
					t.Errorf("after the switch changed its mind: %s/%s", r.Status, r.Reason)
				}
			})
		})
	}
}

// A change that the platform cannot express spoils nobody else's.
func TestWhatThePlatformCannotDoIsOneBadApple(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.switches["leaf1"].refuse = func(c switchdrivers.Change) error {
			for _, p := range c.Ports {
				if p.Name == "Ethernet2" && p.To.Mode != switchdrivers.ModeIdle {
					return &switchdrivers.UnsupportedError{Platform: "fake", What: "this"}
				}
			}
			return nil
		}
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"), bound(2, 120, "leaf1/Ethernet2"), bound(3, 130, "leaf1/Ethernet3"))
		synctest.Wait()
		wantStatuses(t, s, 1, "bound")
		wantStatuses(t, s, 2, "failed/unsupported")
		wantStatuses(t, s, 3, "bound")
	})
}

// A VLAN that we deleted is not ours any more: whoever makes it again keeps it.
func TestVLANThatSomebodyElseMadeIsNotDeleted(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		leaf1 := s.switches["leaf1"]
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.send(gone(1, 2, Absent))
		synctest.Wait()
		if leaf1.vlan(110) != nil {
			t.Fatal("VLAN 110 is still there")
		}
		leaf1.fault(func() { leaf1.state.VLANs[110] = switchdrivers.VLAN{Name: "storage"} })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if leaf1.vlan(110) == nil {
			t.Error("we deleted an operator's VLAN")
		}
	})
}

// A VLAN that the switch will not delete is tried at a growing distance.
func TestVLANThatIsNotDeletedIsNotHammered(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1, func(sw *switchdrivers.Switch) { sw.Timeouts.Poll = time.Second })
		leaf1 := s.switches["leaf1"]
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		asked := 0
		leaf1.fault(func() {
			leaf1.refuse = func(c switchdrivers.Change) error {
				if len(c.Delete) > 0 {
					asked++
					return &switchdrivers.RefusedError{Switch: "leaf1", Rejections: []switchdrivers.Rejection{{VLAN: 110, Words: "in use"}}}
				}
				return nil
			}
		})
		s.send(gone(1, 2, Absent))
		time.Sleep(time.Hour)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "released")
		if asked > 60 {
			t.Errorf("the switch was asked %d times within an hour", asked)
		}
		leaf1.fault(func() { leaf1.refuse = nil })
		time.Sleep(time.Hour)
		synctest.Wait()
		if leaf1.vlan(110) != nil {
			t.Error("VLAN 110 is still there")
		}
	})
}

// A switch that is never quiet is saved all the same.
func TestBusySwitchIsSaved(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		for i := range 120 {
			s.send(at(int64(i+1), bound(1, 100+i, "leaf1/Ethernet1")))
			time.Sleep(5 * time.Second)
		}
		if n := s.switches["leaf1"].saveCount(); n < 2 || n > 20 {
			t.Errorf("%d saves in ten minutes without ten quiet seconds", n)
		}
	})
}

// What was found out is told soon when it could not be at once.
func TestAnswerThatCouldNotBePublishedIsPublishedSoon(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.outbox.set(errors.New("no stream"))
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.outbox.set(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound")
		// Also when the switch cannot be worked with.
		s.switches["leaf1"].fault(func() {
			s.switches["leaf1"].down = &switchdrivers.AuthError{Switch: "leaf1", Username: "u", Err: errors.New("denied")}
		})
		s.outbox.set(errors.New("no stream"))
		s.send(at(2, bound(1, 111, "leaf1/Ethernet1")))
		synctest.Wait()
		s.outbox.set(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "pending/auth-failed")
	})
}

// Who waits for what was released is told, even if the signal could not be sent at first.
func TestLostSignalIsSentAgain(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2, func(sw *switchdrivers.Switch) {
			if sw.Name == "leaf2" {
				sw.Timeouts.Poll = 0
			}
		})
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.send(otherNetwork(bound(2, 110, "leaf2/Ethernet1")))
		synctest.Wait()
		s.send(gone(1, 2, Deleted))
		s.deaf.Store(true)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "released")
		s.deaf.Store(false)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/vlan-quarantined", "bound")
	})
}

// A ledger that cannot be written is no fault of the switch.
func TestLedgerThatFailsIsNotBlamedOnTheSwitch(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.quiet = true
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		s.quiet = false
		s.ledger.set(errors.New("disk full"), nil)
		s.engine.Wake("leaf1", s.fence)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := s.switches["leaf1"].changes(); n != 0 {
			t.Errorf("%d changes without a ledger", n)
		}
		s.ledger.set(nil, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound")
	})
}

// A process that does not own a switch any more says nothing about it.
func TestLostOwnershipIsNotAnAnswer(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		var owned atomic.Bool
		s.fence = func(context.Context) error {
			if !owned.Load() {
				return errors.New("another process owns the switch")
			}
			return nil
		}
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		time.Sleep(time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 1)
		owned.Store(true)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound")
	})
}
