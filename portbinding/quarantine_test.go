package portbinding

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

func otherNetwork(b Binding) Binding { b.Network.ID = "another"; b.Digest = digest(b); return b }

// A latecomer that never got the VLAN does not take it from those who have it, not even by leaving.
func TestLatecomerThatLeavesDoesNotDisturbTheNetworkInTheVLAN(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		s.send(otherNetwork(bound(2, 110, "leaf2/Ethernet1")))
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/vlan-quarantined")
		s.kill("leaf2")
		s.send(gone(2, 2, Deleted))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
		wantStatuses(t, s, 1, "bound")
	})
}

// A switch that comes into the configuration with VLANs nobody explains keeps newcomers out of them, not those who are in them.
func TestStrayVLANOnANewSwitchDoesNotDisconnectWhoIsInIt(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2)
		both := s.config
		s.config = both[:1]
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"), bound(4, 130, "leaf2/Ethernet4"))
		synctest.Wait()
		s.switches["leaf2"].state.Ports["Ethernet5"] = switchdrivers.Access(110)
		s.switches["leaf2"].state.Ports["Ethernet6"] = switchdrivers.Access(120)
		s.switches["leaf2"].state.Ports["Ethernet7"] = switchdrivers.Access(130)
		s.config = both
		if err := s.engine.SetInventory(background, s.inventory()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 1, "bound")
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
		s.send(bound(2, 120, "leaf1/Ethernet2"), bound(3, 110, "leaf1/Ethernet3"))
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/vlan-quarantined")
		wantStatuses(t, s, 3, "pending/vlan-quarantined")
		wantStatuses(t, s, 4, "refused/unknown-switch", "pending/vlan-quarantined") // asked before the survey, but was not in it
	})
}

// With a new ledger nothing is written before every switch was read: not even to make a port idle whose binding waits.
func TestNewLedgerShutsNoPortBeforeEverySwitchWasRead(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2, func(sw *switchdrivers.Switch) { sw.ManagedPorts = switchdrivers.PortList{"Ethernet2"} })
		s.switches["leaf1"].state.Ports["Ethernet1"] = switchdrivers.Access(110) // a server at work; the ledger was lost
		s.switches["leaf1"].state.VLANs[110] = switchdrivers.VLAN{}
		s.kill("leaf2")
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := s.switches["leaf1"].changes(); n != 0 {
			t.Errorf("%d changes before leaf2 was read", n)
		}
		wantStatuses(t, s, 1, "pending/not-surveyed")
		s.revive("leaf2")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 1, "pending/not-surveyed", "bound")
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
		wantPort(t, s, "leaf1", "Ethernet2", switchdrivers.Idle())
	})
}

// No tenant is put where idle ports are parked: they are enabled.
func TestTenantDoesNotGetTheVLANOfIdlePorts(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2, func(sw *switchdrivers.Switch) {
			if sw.Name == "leaf2" {
				sw.Idle.VLAN = 999
			}
		})
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 999, "leaf1/Ethernet1"), trunked(bound(2, 120, "leaf2/Ethernet2"), 999))
		synctest.Wait()
		wantStatuses(t, s, 1, "refused/vlan-not-allowed")
		wantStatuses(t, s, 2, "refused/vlan-not-allowed")
	})
}

// A port that carries a stray VLAN is looked at again, so that a person who cleans it by hand need not tell us.
func TestStrayVLANThatIsGoneLeavesQuarantine(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.switches["leaf1"].state.Ports["Ethernet5"] = switchdrivers.Access(110)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"), bound(2, 120, "leaf1/Ethernet2"))
		synctest.Wait()
		wantStatuses(t, s, 1, "pending/vlan-quarantined")
		s.switches["leaf1"].set("Ethernet5", switchdrivers.Access(1))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantStatuses(t, s, 1, "pending/vlan-quarantined", "bound")
	})
}

// Somebody puts a bound port into another VLAN by hand, and the policy is to report, not to repair: the VLAN is not given to anybody
// while the port is in it.
func TestForeignVLANOnAPortOfOursIsInQuarantine(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 2, func(sw *switchdrivers.Switch) { sw.Drift = "report" })
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"), bound(3, 130, "leaf2/Ethernet3"))
		synctest.Wait()
		s.switches["leaf1"].set("Ethernet1", switchdrivers.Trunk(0, switchdrivers.VLANs(120, 130)))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		s.send(bound(2, 120, "leaf2/Ethernet2"))
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/vlan-quarantined")
		if m := s.outbox.last(port(2)).Message; !strings.Contains(m, "switchbind rebind leaf1/Ethernet1") {
			t.Errorf("the message does not say how to repair it: %s", m)
		}
		wantPort(t, s, "leaf2", "Ethernet3", switchdrivers.Access(130)) // who was there before stays
		if err := s.engine.Rebind(t.Context(), RebindRequest{PortID: port(1)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Access(110))
		wantStatuses(t, s, 2, "pending/vlan-quarantined", "bound")
	})
}
