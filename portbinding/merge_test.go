package portbinding

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/switchbind/switchbind/switchdrivers"
)

// Of all messages about a port the one with the highest revision, then the highest sequence, wins, in whatever order and however
// often they arrive; "deleted" wins at equal revisions and is final.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "messages")
		var all []Message
		deletedAt := int64(-1)
		for i := range n {
			b := bound(1, 100+i, "leaf1/Ethernet1")
			b.Revision = rapid.Int64Range(1, 4).Draw(t, "revision")
			if deletedAt < 0 && rapid.IntRange(0, 5).Draw(t, "deleted") == 0 {
				b = gone(1, b.Revision, Deleted)
				deletedAt = b.Revision
			}
			all = append(all, Message{Source: "neutron", Sequence: uint64(i + 1), Binding: b})
		}
		want := slices.MaxFunc(all, func(x, y Message) int {
			switch {
			case x.Binding.Revision != y.Binding.Revision:
				return int(x.Binding.Revision - y.Binding.Revision)
			case (x.Binding.State == Deleted) != (y.Binding.State == Deleted):
				if x.Binding.State == Deleted {
					return 1
				}
				return -1
			}
			return int(x.Sequence) - int(y.Sequence)
		})
		arrivals := append(slices.Clone(all), rapid.SliceOfN(rapid.SampledFrom(all), 0, 10).Draw(t, "again")...)
		arrivals = rapid.Permutation(arrivals).Draw(t, "order")
		var e *Entry
		deleted := false
		for _, m := range arrivals {
			next, v, err := merge(e, m)
			if err != nil {
				t.Fatal(err)
			}
			if deleted && v != ignored && v != again {
				t.Fatalf("a message changed a port that is deleted: %+v", m)
			}
			e = next
			deleted = e.Controller.Binding.State == Deleted
		}
		got := e.Controller.Binding
		if deleted && deletedAt <= want.Binding.Revision {
			return // deleted arrived when it was the newest, and was final: all that came later is ignored
		}
		if got.Revision != want.Binding.Revision || digest(got) != digest(want.Binding) {
			t.Fatalf("ended at revision %d %s vlan %v, want revision %d (sequence %d)", got.Revision, got.State, got.Segments, want.Binding.Revision, want.Sequence)
		}
	})
}

func TestEqualWishOnlyUpdatesTheLedgerAndIsAnsweredAtOnce(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		changes, reads := s.switches["leaf1"].changes(), 0
		s.switches["leaf1"].fault(func() { s.switches["leaf1"].reads = 0 })
		renamed := at(2, bound(1, 110, "leaf1/Ethernet1"))
		renamed.Network.Name = "a better name"
		renamed.Digest = "new-digest"
		s.send(renamed)
		synctest.Wait()
		s.switches["leaf1"].fault(func() { reads = s.switches["leaf1"].reads })
		if reads != 0 || s.switches["leaf1"].changes() != changes {
			t.Errorf("a rename made us read the switch %d times and write it %d times", reads, s.switches["leaf1"].changes()-changes)
		}
		if r := s.outbox.last(port(1)); r.Revision != 2 || r.Digest != "new-digest" || r.Status != StatusBound {
			t.Errorf("the newer revision was answered with revision %d, digest %q, %s", r.Revision, r.Digest, r.Status)
		}
	})
}

func TestSentAgainIsAnsweredAgain(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		b := bound(1, 110, "leaf1/Ethernet1")
		s.send(b)
		synctest.Wait()
		s.send(b)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "bound")
		if n := s.switches["leaf1"].changes(); n != 1 {
			t.Errorf("%d changes, want 1", n)
		}
	})
}

// Whoever deletes a port once more did not hear that it was released.
func TestDeletedAgainIsAnsweredAgain(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.send(gone(1, 2, Deleted))
		synctest.Wait()
		changes := s.switches["leaf1"].changes()
		s.send(gone(1, 2, Deleted))
		synctest.Wait()
		s.send(gone(1, 3, Deleted))
		synctest.Wait()
		s.send(gone(1, 1, Deleted)) // late
		synctest.Wait()
		wantStatuses(t, s, 1, "bound", "released", "released", "released")
		if r := s.outbox.last(port(1)); r.Revision != 3 {
			t.Errorf("the last answer is for revision %d, not 3", r.Revision)
		}
		if n := s.switches["leaf1"].changes(); n != changes {
			t.Errorf("%d changes more", n-changes)
		}
	})
}

// Subport changes do not move the parent's revision: of two messages of one revision the later in the stream wins.
func TestTwoMessagesOfOneRevision(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(trunked(bound(1, 110, "leaf1/Ethernet1"), 201), trunked(bound(1, 110, "leaf1/Ethernet1"), 201, 202))
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Trunk(110, switchdrivers.VLANs(201, 202)))
		s.send(gone(1, 1, Deleted)) // a delete carries the last revision
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		s.send(at(5, bound(1, 110, "leaf1/Ethernet1"))) // a port id is never used again
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		wantStatuses(t, s, 1, "bound", "released")
	})
}

func TestAnotherSourceMayNotSpeakForAPort(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		errs := s.deliver("neutron-two", at(9, bound(1, 120, "leaf1/Ethernet1")))
		var invalid *InvalidError
		if !errors.As(errs[0], &invalid) || !strings.Contains(errs[0].Error(), "neutron") {
			t.Errorf("got %v, want an InvalidError that names the owner", errs[0])
		}
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
	})
}

// Moving a server is "deleted" of one port and "present" of another, in either order; Ironic swaps two the same way.
func TestSwapInEitherOrder(t *testing.T) {
	for name, order := range map[string][]Binding{
		"deleted first": {gone(1, 2, Deleted), bound(2, 120, "leaf1/Ethernet1")},
		"present first": {bound(2, 120, "leaf1/Ethernet1"), gone(1, 2, Deleted)},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				s := newSite(t, 1)
				s.start()
				defer s.stop()
				synctest.Wait()
				s.send(bound(1, 110, "leaf1/Ethernet1"))
				synctest.Wait()
				for _, b := range order {
					s.send(b)
					synctest.Wait()
				}
				wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(120))
				if r := s.outbox.last(port(2)); r.Status != StatusBound {
					t.Errorf("the newcomer ended %s/%s", r.Status, r.Reason)
				}
				if r := s.outbox.last(port(1)); r.Status != StatusReleased {
					t.Errorf("the former ended %s/%s", r.Status, r.Reason)
				}
			})
		})
	}
	t.Run("two bindings trade places", func(t *testing.T) {
		run(t, func(t *testing.T) {
			s := newSite(t, 1)
			s.start()
			defer s.stop()
			synctest.Wait()
			s.send(bound(1, 110, "leaf1/Ethernet1"), bound(2, 120, "leaf1/Ethernet2"))
			synctest.Wait()
			s.send(at(2, bound(1, 110, "leaf1/Ethernet2")))
			synctest.Wait()
			s.send(at(2, bound(2, 120, "leaf1/Ethernet1")))
			synctest.Wait()
			wantPort(t, s, "leaf1", "Ethernet2", switchdrivers.Access(110))
			wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(120))
		})
	})
}

func TestManualLayer(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		manual := bound(1, 130, "leaf1/Ethernet2")
		if err := s.deliver("cli-alice", manual)[0]; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		wantPort(t, s, "leaf1", "Ethernet2", switchdrivers.Access(130))
		v, err := s.engine.Show(t.Context(), port(1))
		if err != nil || !v.Overridden || v.Controller == nil || v.Controller.Segments[0].SegmentationID != 110 {
			t.Errorf("show: overridden %v, controller %+v, %v", v.Overridden, v.Controller, err)
		}
		if err := s.engine.Rebind(t.Context(), RebindRequest{PortID: port(1), DropManual: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
		wantPort(t, s, "leaf1", "Ethernet2", switchdrivers.Idle())
		s.deliver("cli-alice", manual)
		synctest.Wait()
		// A newer revision that wants the same does not end it; a different wish does.
		s.send(at(2, bound(1, 110, "leaf1/Ethernet1")))
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet2", switchdrivers.Access(130))
		s.send(at(3, bound(1, 120, "leaf1/Ethernet1")))
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet2", switchdrivers.Idle())
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(120))
	})
}

func TestRestartTakesUpWhatWasUnfinished(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		s.start()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"), bound(2, 120, "leaf2/Ethernet1"))
		synctest.Wait()
		// We die after the ledger was written and before any switch was: the signals are lost.
		s.quiet = true
		s.send(gone(1, 2, Deleted), at(2, bound(2, 121, "leaf2/Ethernet1")))
		s.stop()
		s.quiet = false
		s.start()
		defer s.stop()
		synctest.Wait()
		time.Sleep(time.Second)
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		wantPort(t, s, "leaf2", "Ethernet1", switchdrivers.Access(121))
		if r := s.outbox.last(port(1)); r.Status != StatusReleased {
			t.Errorf("the unbind from before the crash ended %s/%s", r.Status, r.Reason)
		}
	})
}

// A command that was begun before a crash may end after the next start has verified its own: there is one more look, long before
// the next poll.
func TestAWriteFromBeforeACrashIsFound(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.stop()
		s.start()
		defer s.stop()
		s.send(at(2, bound(1, 120, "leaf1/Ethernet1")))
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(120))
		s.switches["leaf1"].set("Ethernet1", switchdrivers.Access(110)) // late
		time.Sleep(1500 * time.Millisecond)                             // a commit may take a second, a poll comes each minute
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(120))
	})
}

// What the ledger cannot keep is not taken: the message is delivered again.
func TestNothingIsTakenThatTheLedgerCannotKeep(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.ledger.mu.Lock()
		s.ledger.fail = errors.New("disk full")
		s.ledger.mu.Unlock()
		b := bound(1, 110, "leaf1/Ethernet1")
		err := s.deliver("neutron", b)[0]
		var invalid *InvalidError
		if err == nil || errors.As(err, &invalid) {
			t.Fatalf("got %v, want an error that asks for the message again", err)
		}
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(1))
		s.ledger.mu.Lock()
		s.ledger.fail = nil
		s.ledger.mu.Unlock()
		s.sequence = 0 // the very same message
		s.send(b)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound")
	})
}

// Whoever sent a message that breaks the contract learns so, by the id they wait for.
func TestRejectionEchoesWhatItAnswers(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		m := Message{Source: "cli-alice", RequestID: "r1", Binding: Binding{PortID: port(1), Revision: 7, Digest: "d"}}
		if err := s.engine.Reject(t.Context(), m, &InvalidError{"/data/state", "unknown"}); err != nil {
			t.Fatal(err)
		}
		r := s.outbox.last(port(1))
		if r.Status != StatusRefused || r.Reason != ReasonInvalidEvent || r.RequestID != "r1" || r.Revision != 7 || r.Digest != "d" || r.Source != "cli-alice" {
			t.Errorf("got %+v", r)
		}
	})
}
