package portbinding

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// group makes ports of a switch members of a LAG interface, or, with lag "", ports of their own again.
func (s *fakeSwitch) group(lag string, members ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lags := map[string]switchdrivers.LAG{}
	for _, name := range members {
		s.state.Ports[name] = switchdrivers.Port{LAG: lag}
	}
	if lag != "" {
		if _, exists := s.state.Ports[lag]; !exists {
			s.state.Ports[lag] = switchdrivers.Idle()
		}
	}
	for name, p := range s.state.Ports {
		if p.LAG != "" {
			lags[p.LAG] = switchdrivers.LAG{Members: append(lags[p.LAG].Members, name)}
		}
	}
	s.state.LAGs = lags
}

// A binding over an MLAG is bound when both switches are, however its links are spelled.
func TestLinkThatLeadsToALAGIsNotBoundBeforeItIsVerified(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		for _, sw := range s.switches {
			sw.group("Port-Channel1", "Ethernet1")
		}
		s.start()
		defer s.stop()
		synctest.Wait()
		s.switches["leaf2"].fault(func() { s.switches["leaf2"].onRead = func() { time.Sleep(30 * time.Second) } })
		s.send(bound(1, 110, "leaf1/Ethernet1", "leaf2/Ethernet1"))
		synctest.Wait()
		wantStatuses(t, s, 1)
		wantPort(t, s, "leaf1", "Port-Channel1", switchdrivers.Access(110))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound")
		wantPort(t, s, "leaf2", "Port-Channel1", switchdrivers.Access(110))
	})
}

// What was put on a LAG interface is held there, although the link that led to it has left the LAG; a restart forgets nothing.
func TestHoldStaysOnTheLAGThatALinkLeft(t *testing.T) {
	for _, restart := range []bool{false, true} {
		run(t, func(t *testing.T) {
			s := newSite(t, 2)
			leaf1 := s.switches["leaf1"]
			leaf1.group("Port-Channel1", "Ethernet1", "Ethernet2")
			s.start()
			defer s.stop()
			synctest.Wait()
			s.send(bound(1, 110, "leaf1/Ethernet1"))
			synctest.Wait()
			wantPort(t, s, "leaf1", "Port-Channel1", switchdrivers.Access(110))
			leaf1.group("", "Ethernet1")
			if restart {
				s.stop()
				s.start()
			}
			leaf1.fault(func() { leaf1.ignore["Port-Channel1"] = true }) // it does not let go
			s.send(gone(1, 2, Deleted))
			other := bound(2, 110, "leaf2/Ethernet1")
			other.Network.ID = "another"
			time.Sleep(10 * time.Minute)
			s.send(other)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if p := leaf1.port("Port-Channel1"); p.VLANs().Contains(110) && s.switches["leaf2"].port("Ethernet1").VLANs().Contains(110) {
				t.Errorf("restart %v: VLAN 110 joins two networks", restart)
			}
			wantStatuses(t, s, 2, "pending/vlan-quarantined")
			leaf1.fault(func() { clear(leaf1.ignore) })
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			wantPort(t, s, "leaf1", "Port-Channel1", switchdrivers.Idle())
			wantStatuses(t, s, 2, "pending/vlan-quarantined", "bound")
		})
	}
}

// A change of LAG membership on one switch frees a binding that waits with a link on another.
func TestLAGMembershipWakesTheOtherSwitchesOfABinding(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2, func(sw *switchdrivers.Switch) {
			if sw.Name == "leaf2" {
				sw.Timeouts.Poll = 0
			}
		})
		s.switches["leaf1"].group("Port-Channel1", "Ethernet1")
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.send(bound(2, 120, "leaf1/Port-Channel1", "leaf2/Ethernet2"))
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/port-taken")
		s.switches["leaf1"].group("", "Ethernet1")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantPort(t, s, "leaf2", "Ethernet2", switchdrivers.Access(120))
		wantStatuses(t, s, 2, "pending/port-taken", "bound")
	})
}
