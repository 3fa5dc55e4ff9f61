package portbinding

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// A configuration that allows a binding more gives it no port that another holds: not while the ledger is being written, and not
// when the ledger cannot be.
func TestNewConfigurationIsInForceOnceItIsInTheLedger(t *testing.T) {
	for _, broken := range []bool{false, true} {
		run(t, func(t *testing.T) {
			s := newSite(t, 1, func(sw *switchdrivers.Switch) { sw.AllowedVLANs = switchdrivers.VLANs(110) })
			s.start()
			defer s.stop()
			synctest.Wait()
			s.send(bound(1, 110, "leaf1/Ethernet1"), bound(2, 120, "leaf1/Ethernet1"))
			synctest.Wait()
			wantStatuses(t, s, 2, "refused/vlan-not-allowed")
			if broken {
				s.ledger.set(errors.New("disk full"), nil)
			} else {
				s.ledger.set(nil, func() { // a pass that begins now must not see what is not kept yet
					if owner := s.engine.worker("leaf1").goal().ports["Ethernet1"].owner; owner == nil || owner.PortID != port(1) {
						t.Errorf("while the ledger is written the port belongs to %v", owner)
					}
				})
			}
			s.config[0].AllowedVLANs = switchdrivers.VLANs(110, 120)
			err := s.engine.SetInventory(background, s.inventory())
			if (err != nil) != broken {
				t.Fatalf("new configuration: %v", err)
			}
			if _, err := s.engine.Reconcile(background, OperatorRequest{Switch: "leaf1"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			wantStatuses(t, s, 1, "bound")
			for _, c := range s.switches["leaf1"].applies {
				for _, p := range c.Ports {
					if p.Name == "Ethernet1" && p.To.AccessVLAN != 110 {
						t.Errorf("broken %v: the holder's port became %q", broken, p.To)
					}
				}
			}
			s.ledger.set(nil, nil)
			if broken {
				if err := s.engine.SetInventory(background, s.inventory()); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			wantStatuses(t, s, 2, "refused/vlan-not-allowed", "pending/port-taken")
		})
	}
}
