package portbinding

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/switchbind/switchbind/switchdrivers"
)

var background = context.Background()

func (s *site) kill(name string) {
	s.switches[name].fault(func() {
		s.switches[name].down = &switchdrivers.UnreachableError{Switch: name, Doing: "connecting", Err: errors.New("no route")}
	})
}

func (s *site) revive(name string) { s.switches[name].fault(func() { s.switches[name].down = nil }) }

func TestForgetShowsWhatStaysExposedAndThenDropsIt(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.kill("leaf1")
		s.send(gone(1, 2, Deleted))
		other := bound(2, 110, "leaf2/Ethernet1")
		other.Network.ID = "another"
		s.send(other)
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/vlan-quarantined")

		if _, err := s.engine.Forget(background, OperatorRequest{Switch: "leaf1", By: "op", Confirm: true}); err == nil {
			t.Error("forgetting needs no reason")
		}
		request := OperatorRequest{Switch: "leaf1", By: "op", Because: "scrapped"}
		asked, err := s.engine.Forget(background, request)
		if err != nil || asked.Done || len(asked.Exposed) != 1 || asked.Exposed[0].Port != "Ethernet1" {
			t.Fatalf("what stays exposed: %+v, %v", asked, err)
		}
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/vlan-quarantined")
		request.Confirm = true
		if done, err := s.engine.Forget(background, request); err != nil || !done.Done {
			t.Fatalf("%+v, %v", done, err)
		}
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/vlan-quarantined", "bound")
		if r := s.engine.book.record("leaf1"); len(r.Forgotten) != 1 || r.Forgotten[0].Because != "scrapped" || r.Forgotten[0].By != "op" {
			t.Errorf("who and why is not kept: %+v", r.Forgotten)
		}
		// If it ever answers again it is surveyed like new: what it still carries is in quarantine again.
		s.revive("leaf1")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if r := s.engine.book.record("leaf1"); len(r.Unexplained) != 1 || r.Unexplained[0].Port != "Ethernet1" {
			t.Errorf("unexplained on the switch that came back: %+v", r.Unexplained)
		}
	})
}

func TestSwitchThatHoldsSomethingIsNotTakenOut(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		both := s.config
		s.config = both[1:]
		err := s.engine.SetInventory(background, s.inventory())
		if err == nil || !strings.Contains(err.Error(), "switchbind forget leaf1") {
			t.Fatalf("got %v, want a refusal that says what to do", err)
		}
		s.config = both
		s.send(at(2, bound(1, 111, "leaf1/Ethernet1"))) // the old configuration still works
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(111))
		if _, err := s.engine.Forget(background, OperatorRequest{Switch: "leaf1", By: "op", Because: "scrapped", Confirm: true}); err != nil {
			t.Fatal(err)
		}
		s.config = both[1:]
		if err := s.engine.SetInventory(background, s.inventory()); err != nil {
			t.Fatalf("after forget: %v", err)
		}
		synctest.Wait()
		if r := s.outbox.last(port(1)); r.Status != StatusRefused || r.Reason != ReasonUnknownSwitch {
			t.Errorf("the binding on the switch that is gone: %s/%s", r.Status, r.Reason)
		}
	})
}

func TestConfigurationThatCutsOffABoundPortIsRefused(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.config[0].AllowedVLANs = switchdrivers.VLANs(120)
		if err := s.engine.SetInventory(background, s.inventory()); err == nil || !strings.Contains(err.Error(), port(1)) {
			t.Errorf("got %v, want a refusal that names the port", err)
		}
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))

		// Nor does a start with it unbind anything, unless it is told to.
		s.stop()
		opt := s.opt
		opt.Inventory, opt.Ledger, opt.Outbox, opt.Signals, opt.Log = s.inventory(), s.ledger, s.outbox, s, zerolog.Nop()
		refused, _ := New(opt)
		var loss *LossError
		if err := refused.Start(background); !errors.As(err, &loss) {
			t.Errorf("the start went on: %v", err)
		}
		refused.Close()
		s.opt.AcceptLosses = true
		s.start()
		defer s.stop()
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
	})
}

func TestPauseKeepsAwayAndResumeCatchesUp(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		if _, err := s.engine.Pause(background, OperatorRequest{Switch: "leaf1", By: "op", Because: "maintenance"}); err != nil {
			t.Fatal(err)
		}
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		time.Sleep(time.Hour)
		synctest.Wait()
		wantStatuses(t, s, 1, "pending/paused")
		if m := s.outbox.last(port(1)).Message; !strings.Contains(m, "maintenance") || !strings.Contains(m, "switchbind resume leaf1") {
			t.Errorf("the message says neither why nor what to do: %s", m)
		}
		if s.switches["leaf1"].changes() != 0 {
			t.Error("a paused switch was written to")
		}
		if _, err := s.engine.Resume(background, OperatorRequest{Switch: "leaf1", By: "op"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantStatuses(t, s, 1, "pending/paused", "bound")
	})
}

func TestReplacedSwitchIsProgrammedAgain(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"), trunked(bound(2, 120, "leaf1/Ethernet2"), 130))
		synctest.Wait()
		blank := newFakeSwitch("leaf1", 8)
		s.switches["leaf1"].fault(func() { s.switches["leaf1"].state = blank.state })
		if _, err := s.engine.Replace(background, OperatorRequest{Switch: "leaf1", By: "op"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
		wantPort(t, s, "leaf1", "Ethernet2", switchdrivers.Trunk(120, switchdrivers.VLANs(130)))
		wantStatuses(t, s, 1, "bound", "bound")
	})
}

func TestPlanShowsWhatIsSentAndSendsNothing(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		s.start()
		defer s.stop()
		synctest.Wait()
		b := trunked(bound(1, 110, "leaf1/Ethernet1"), 120)
		views, err := s.engine.Plan(background, PlanRequest{Bindings: []Binding{b}})
		if err != nil || len(views) != 1 || views[0].Switch != "leaf1" {
			t.Fatalf("plan: %+v, %v", views, err)
		}
		if s.switches["leaf1"].changes() != 0 {
			t.Fatal("plan wrote to the switch")
		}
		if list, _ := s.engine.List(background, ListFilter{}); len(list) != 0 {
			t.Error("plan kept the binding")
		}
		s.send(b)
		synctest.Wait()
		sent := s.switches["leaf1"].applies[0]
		planned := switchdrivers.Change{VLANs: views[0].Change.VLANs, Ports: views[0].Change.Ports, Delete: views[0].Change.Delete}
		if diff := cmp.Diff(planned, sent); diff != "" {
			t.Errorf("planned (-) and sent (+) differ:\n%s", diff)
		}
		if views[0].Change.Ports[0].Reason == "" || len(views[0].Script) == 0 {
			t.Error("the plan gives no reason or no lines")
		}
	})
}

func TestSnapshotRemovesWhatIsGoneAndNothingElse(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 101, "leaf1/Ethernet1"), bound(2, 102, "leaf1/Ethernet2"))
		s.deliver("another-source", bound(3, 103, "leaf1/Ethernet3"))
		synctest.Wait()
		time.Sleep(time.Second)
		begin := time.Now()
		time.Sleep(time.Second)
		s.send(bound(4, 104, "leaf1/Ethernet4")) // heard of since the snapshot began
		moved := at(1, bound(2, 122, "leaf1/Ethernet2"))
		report, err := s.engine.Snapshot(background, Snapshot{Source: "neutron", ID: "s1", Begin: begin, Bindings: []Binding{moved}})
		if err != nil || report.Held || len(report.Removed) != 1 || report.Removed[0] != port(1) {
			t.Fatalf("report %+v, %v", report, err)
		}
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		wantPort(t, s, "leaf1", "Ethernet2", switchdrivers.Access(122))
		wantPort(t, s, "leaf1", "Ethernet3", switchdrivers.Access(103))
		wantPort(t, s, "leaf1", "Ethernet4", switchdrivers.Access(104))
	})
}

func TestSnapshotThatWouldEmptyTheSiteIsHeld(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		for i := 1; i <= 6; i++ {
			s.send(at(5, bound(i, 100+i, fmt.Sprintf("leaf1/Ethernet%d", i))))
		}
		synctest.Wait()
		time.Sleep(time.Second)
		restored := at(3, bound(6, 126, "leaf1/Ethernet6")) // an older revision: the database was restored
		report, err := s.engine.Snapshot(background, Snapshot{Source: "neutron", ID: "empty", Begin: time.Now(), Bindings: []Binding{restored}})
		if err != nil || !report.Held || !strings.Contains(report.Message, "switchbind snapshot accept") {
			t.Fatalf("report %+v, %v", report, err)
		}
		synctest.Wait()
		for i := 1; i <= 6; i++ {
			wantPort(t, s, "leaf1", fmt.Sprintf("Ethernet%d", i), switchdrivers.Access(switchdrivers.VLANID(100+i)))
		}
		if _, err := s.engine.AcceptSnapshot(background, "", "op"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		wantPort(t, s, "leaf1", "Ethernet6", switchdrivers.Access(126))
		if _, err := s.engine.AcceptSnapshot(background, "", "op"); err == nil {
			t.Error("the snapshot was accepted twice")
		}
	})
}

func TestExportAndImportKeepHolds(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		s.start()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"), bound(2, 120, "leaf2/Ethernet1"))
		synctest.Wait()
		s.kill("leaf1")
		s.send(gone(1, 2, Deleted))
		synctest.Wait()
		backup, err := s.engine.Export(background)
		if err != nil {
			t.Fatal(err)
		}
		s.stop()
		s.ledger = newFakeLedger() // the disk is lost
		s.start()
		defer s.stop()
		if _, err := s.engine.Import(background, backup, "op"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		v, err := s.engine.Show(background, port(1))
		if err != nil || len(v.Leaving) != 1 {
			t.Errorf("the hold on the dead switch: %+v, %v", v.Leaving, err)
		}
		s.revive("leaf1")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		wantPort(t, s, "leaf2", "Ethernet1", switchdrivers.Access(120))
		if _, err := s.engine.Import(background, LedgerExport{Format: 9}, "op"); err == nil {
			t.Error("an unknown format was taken")
		}
	})
}

func TestManagedPortsAreKeptIdleAndOthersAreNotTouched(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1, func(sw *switchdrivers.Switch) { sw.ManagedPorts = switchdrivers.PortList{"Ethernet1-2"} })
		s.start()
		defer s.stop()
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		wantPort(t, s, "leaf1", "Ethernet2", switchdrivers.Idle())
		wantPort(t, s, "leaf1", "Ethernet3", switchdrivers.Access(1))
	})
}

func TestParkedPortIsIdle(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1, func(sw *switchdrivers.Switch) { sw.Idle.VLAN = 999 })
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.send(gone(1, 2, Deleted))
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(999))
		wantStatuses(t, s, 1, "bound", "released")
		if s.switches["leaf1"].vlan(999) == nil {
			t.Error("the idle VLAN does not exist")
		}
	})
}

// The guard rests on the goal alone: whatever led to a change, it does not pass.
func TestGuardStopsWhatMustNotBe(t *testing.T) {
	s := newSite(t, 1)
	b := newBook(s.inventory())
	e := &Entry{PortID: port(1), Controller: &Layer{Source: "neutron", Binding: bound(1, 110, "leaf1/Ethernet1")}}
	claims, _ := resolve(e.Controller.Binding, b.inv)
	e.settle(claims, time.Now(), b.retired)
	b.put(e)
	g := b.goalOf("leaf1")
	for name, pc := range map[string]switchdrivers.PortChange{
		"a port of no binding": {Name: "Ethernet2", To: switchdrivers.Access(110)},
		"an uplink":            {Name: "Ethernet8", To: switchdrivers.Access(110)},
		"a VLAN of no binding": {Name: "Ethernet1", To: switchdrivers.Access(120)},
		"all VLANs":            {Name: "Ethernet1", To: switchdrivers.Port{Enabled: true, Mode: switchdrivers.ModeTrunk, TaggedVLANs: switchdrivers.AllVLANs()}},
	} {
		good := switchdrivers.PortChange{Name: "Ethernet1", To: switchdrivers.Access(110)}
		left, found := guard(switchdrivers.Change{Ports: []switchdrivers.PortChange{pc}}, g)
		if len(left.Ports) != 0 || found[pc.Name] == nil {
			t.Errorf("%s passed the guard", name)
		}
		if left, found := guard(switchdrivers.Change{Ports: []switchdrivers.PortChange{good}}, g); len(left.Ports) != 1 || len(found) != 0 {
			t.Errorf("a good change was stopped: %v", found)
		}
	}
}

// What an operator is answered names the thing asked about, or asks for it.
func TestAnswersNameWhatIsMeant(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		s.start()
		defer s.stop()
		synctest.Wait()
		if _, err := s.engine.AcceptSnapshot(background, "", "op"); err == nil || err.Error() != "which held snapshot? none is held" {
			t.Errorf("no snapshot: %v", err)
		}
		if _, err := s.engine.AcceptSnapshot(background, "x", "op"); err == nil || err.Error() != `no held snapshot "x" is known: none is held` {
			t.Errorf("another snapshot: %v", err)
		}
		nothing, err := s.engine.Forget(background, OperatorRequest{Switch: "leaf1", Port: "Ethernet7", By: "op", Because: "x"})
		if err != nil || nothing.Message != "forget leaf1/Ethernet7: no VLAN waits there to be left, so nothing stays exposed" {
			t.Errorf("%+v, %v", nothing, err)
		}
		for name, want := range map[string]string{"": "all switches (2) are being read", "leaf2": "leaf2 is being read"} {
			if report, err := s.engine.Reconcile(background, OperatorRequest{Switch: name}); err != nil || !strings.HasPrefix(report.Message, want) {
				t.Errorf("%+v, %v, want %q", report, err, want)
			}
		}
		for link, want := range map[LocalLink]string{
			{SwitchInfo: "leaf9", PortID: "Ethernet1"}:                                `no switch with switch_info "leaf9" is configured`,
			{SwitchID: "02:00:00:00:00:99", PortID: "Ethernet1"}:                      `no switch with switch_id "02:00:00:00:00:99" is configured`,
			{SwitchID: "02:00:00:00:00:99", SwitchInfo: "leaf9", PortID: "Ethernet1"}: `no switch with switch_id "02:00:00:00:00:99" or switch_info "leaf9" is configured`,
		} {
			if _, no := findSwitch(link, s.engine.book.inv); no == nil || no.message != want {
				t.Errorf("%+v: %+v, want %q", link, no, want)
			}
		}
	})
}

// A rebind asks the switch again: it is not answered with what the switch said before, not even when the worker looks at once.
func TestRebindIsNotAnsweredWithAnOldRefusal(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		leaf := s.switches["leaf1"]
		leaf.refuse = func(c switchdrivers.Change) error {
			for _, p := range c.Ports {
				if p.To.Mode == switchdrivers.ModeAccess {
					return &switchdrivers.RefusedError{Switch: "leaf1", Rejections: []switchdrivers.Rejection{{Port: p.Name, Line: "x", Words: "% no"}}}
				}
			}
			return nil
		}
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		wantStatuses(t, s, 1, "failed/rejected-by-switch")
		looked := make(chan struct{}, 10)
		leaf.fault(func() { leaf.refuse, leaf.afterRead = nil, func() { looked <- struct{}{} } })
		s.afterDirty = func() { <-looked } // the worker has read the switch before the rebind goes on
		if err := s.engine.Rebind(background, RebindRequest{PortID: port(1), RequestID: "r1"}); err != nil {
			t.Fatal(err)
		}
		s.afterDirty = nil
		synctest.Wait()
		wantStatuses(t, s, 1, "failed/rejected-by-switch", "bound")
	})
}
