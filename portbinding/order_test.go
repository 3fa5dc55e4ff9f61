package portbinding

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

func message(seq uint64, source string, b Binding) Message {
	return Message{Source: source, Sequence: seq, Received: time.Now(), Binding: b}
}

// A delete that was not answered yet is taken up again when it is delivered again, and answered again when it is sent again.
func TestDeleteIsTakenUpAgainAndAnsweredAgain(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1, func(sw *switchdrivers.Switch) { sw.Timeouts.Poll = 0 })
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.deaf.Store(true)
		deleted := message(7, "neutron", gone(1, 2, Deleted))
		if err := s.engine.Accept(background, []Message{deleted})[0]; err == nil {
			t.Fatal("taken, although nobody could be told")
		}
		s.deaf.Store(false)
		if err := s.engine.Accept(background, []Message{deleted})[0]; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "released")
		s.engine.Accept(background, []Message{deleted}) // a late delivery: it was answered
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "released")
		again := gone(1, 3, Deleted)
		again.Digest = "new"
		s.engine.Accept(background, []Message{message(8, "neutron", again)})
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "released", "released")
		if r := s.outbox.last(port(1)); r.Revision != 3 || r.Digest != "new" {
			t.Errorf("the answer carries revision %d and digest %q", r.Revision, r.Digest)
		}
		s.engine.Accept(background, []Message{message(9, "neutron", at(9, bound(1, 110, "leaf1/Ethernet1")))})
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle()) // deleted is final
	})
}

// A manual layer ends when the controller's digest changes, even where we see no difference, and when the port is deleted; and a
// late delivery does not lay it again.
func TestManualLayerEndsForGood(t *testing.T) {
	manual := bound(1, 130, "leaf1/Ethernet2")
	plain := bound(1, 110, "leaf1/Ethernet1")
	other := at(2, plain)
	other.Digest = "something else"
	dead := gone(1, 2, Deleted)
	dead.Digest = plain.Digest
	for name, last := range map[string]Binding{"digest": other, "deleted": dead} {
		t.Run(name, func(t *testing.T) {
			e, _, _ := merge(nil, message(1, "neutron", plain))
			e, v, err := merge(e, message(2, "cli-alice", manual))
			if v != changed || err != nil || e.Manual == nil {
				t.Fatalf("no manual layer: %v, %v", v, err)
			}
			e, v, _ = merge(e, message(3, "neutron", last))
			if e.Manual != nil || v != changed {
				t.Errorf("the manual layer is still there; verdict %d", v)
			}
			e, v, _ = merge(e, message(2, "cli-alice", manual))
			if v != ignored || e.Manual != nil {
				t.Errorf("a late delivery laid the manual layer again; verdict %d", v)
			}
		})
	}
}

// The time at which something was verified is when it was read, not when it was asked for again.
func TestAnswerFromTheLedgerTellsWhenItWasVerified(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1, func(sw *switchdrivers.Switch) { sw.Timeouts.Poll = 0 })
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		read := *s.outbox.last(port(1)).VerifiedAt
		time.Sleep(time.Hour)
		s.send(at(2, bound(1, 110, "leaf1/Ethernet1")))
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "bound")
		if r := s.outbox.last(port(1)); r.VerifiedAt == nil || !r.VerifiedAt.Equal(read) || r.Revision != 2 {
			t.Errorf("revision %d verified at %v, was read at %v", r.Revision, r.VerifiedAt, read)
		}
	})
}

// A port that a snapshot leaves out is unbound, not dead: the controller may bind it again.
func TestPortThatASnapshotLeftOutMayComeBack(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		time.Sleep(time.Second)
		if r, err := s.engine.Snapshot(background, Snapshot{Source: "neutron", ID: "1", Begin: time.Now()}); err != nil || len(r.Removed) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		time.Sleep(time.Second)
		s.send(at(2, bound(1, 110, "leaf1/Ethernet1")))
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
	})
}

// Ports that are unbound already are no removals: a snapshot that leaves them out is not held for their sake.
func TestUnboundPortsDoNotCountAsRemovals(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		for i := 1; i <= 40; i++ {
			s.send(gone(i, 1, Absent))
		}
		s.send(bound(50, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		time.Sleep(time.Second)
		kept := bound(50, 110, "leaf1/Ethernet1")
		r, err := s.engine.Snapshot(background, Snapshot{Source: "neutron", ID: "1", Begin: time.Now(), Bindings: []Binding{kept, kept}})
		if err != nil || r.Held || len(r.Removed) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		moved := at(2, bound(50, 120, "leaf1/Ethernet1")) // named twice: the ledger must not be written twice
		if _, err := s.engine.Snapshot(background, Snapshot{Source: "neutron", ID: "2", Begin: time.Now(), Bindings: []Binding{moved, moved}}); err != nil {
			t.Error(err)
		}
	})
}

// What a backup holds on a port is added to what is held there already, and text from outside never ends the process.
func TestImportAddsToHolds(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.kill("leaf1")
		backup, _ := s.engine.Export(background)
		s.send(gone(1, 2, Absent))
		old := *backup.Entries[0]
		old.Claims = nil
		old.Leaving = []Hold{{Switch: "leaf1", Port: "Ethernet1", VLANs: []HeldVLAN{{VLAN: 120, PhysicalNetwork: "physnet1", NetworkID: "net-120"}}}}
		backup.Entries = []*Entry{&old}
		if _, err := s.engine.Import(background, backup, "op"); err != nil {
			t.Fatal(err)
		}
		v, _ := s.engine.Show(background, port(1))
		if len(v.Leaving) != 1 || len(v.Leaving[0].VLANs) != 2 {
			t.Errorf("held: %+v", v.Leaving)
		}
		for _, bad := range []LedgerExport{{Format: 1, Entries: []*Entry{nil}}, {Format: 1, Switches: []*SwitchRecord{nil}}, {Format: 1, Switches: []*SwitchRecord{{}}}} {
			if _, err := s.engine.Import(background, bad, "op"); err == nil {
				t.Errorf("%+v was taken", bad)
			}
		}
	})
}

// An override that unbinds a port is not forgotten with time while the controller still wants the port bound.
func TestOverrideIsNotForgotten(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		s.deliver("cli-alice", gone(1, 1, Absent))
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		if err := s.engine.forgetOld(background, time.Now().Add(365*24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.engine.Show(background, port(1)); err != nil {
			t.Error(err)
		}
	})
}
