package portbinding

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

func TestWhatCannotBeDoneIsRefused(t *testing.T) {
	s := newSite(t, 2, func(sw *switchdrivers.Switch) {
		sw.AllowedVLANs, _ = switchdrivers.ParseVLANSet("100-200")
		sw.ProtectedPorts = switchdrivers.PortList{"Ethernet7"}
		sw.AllowedPorts = switchdrivers.PortList{"Ethernet1-8"}
	})
	inv := s.inventory()
	with := func(change func(*Binding)) Binding {
		b := bound(1, 110, "leaf1/Ethernet1")
		change(&b)
		return b
	}
	link := func(l LocalLink) Binding { return with(func(b *Binding) { b.Profile.Links = []LocalLink{l} }) }
	for name, c := range map[string]struct {
		b      Binding
		reason Reason
		says   string
	}{
		"no links":              {with(func(b *Binding) { b.Profile.Links = nil }), ReasonInvalidEvent, "local_link_information"},
		"unknown name":          {link(LocalLink{SwitchInfo: "leaf9", PortID: "Ethernet1"}), ReasonUnknownSwitch, "leaf9"},
		"unknown MAC":           {link(LocalLink{SwitchID: "52:54:00:ff:ff:ff", PortID: "Ethernet1"}), ReasonUnknownSwitch, "52:54:00:ff:ff:ff"},
		"not a MAC":             {link(LocalLink{SwitchID: "leaf1", SwitchInfo: "leaf1", PortID: "Ethernet1"}), ReasonUnknownSwitch, "not a MAC"},
		"MAC and name disagree": {link(LocalLink{SwitchID: "52:54:00:00:00:02", SwitchInfo: "leaf1", PortID: "Ethernet1"}), ReasonSwitchMismatch, "leaf2"},
		"MAC is not the name's": {link(LocalLink{SwitchID: "52:54:00:ff:ff:ff", SwitchInfo: "leaf1", PortID: "Ethernet1"}), ReasonSwitchMismatch, "leaf1"},
		"hostile port name":     {link(LocalLink{SwitchInfo: "leaf1", PortID: "Ethernet1\nno vlan 1"}), ReasonUnknownPort, `\n`},
		"very long port name":   {link(LocalLink{SwitchInfo: "leaf1", PortID: "Ethernet" + strings.Repeat("1", 10000)}), ReasonUnknownPort, "…"},
		"uplink":                {link(LocalLink{SwitchInfo: "leaf1", PortID: "Ethernet8"}), ReasonPortProtected, "uplink"},
		"protected":             {link(LocalLink{SwitchInfo: "leaf1", PortID: "Ethernet7"}), ReasonPortProtected, "protected_ports"},
		"not allowed":           {link(LocalLink{SwitchInfo: "leaf1", PortID: "Ethernet9"}), ReasonPortNotAllowed, "allowed_ports"},
		"no segment":            {with(func(b *Binding) { b.Segments = nil }), ReasonInvalidEvent, "segment"},
		"VLAN 0":                {with(func(b *Binding) { b.Segments[0].SegmentationID = 0 }), ReasonInvalidEvent, "out of range"},
		"VLAN 4095":             {with(func(b *Binding) { b.Segments[0].SegmentationID = 4095 }), ReasonInvalidEvent, "out of range"},
		"VLAN not allowed":      {with(func(b *Binding) { b.Segments[0].SegmentationID = 300 }), ReasonVLANNotAllowed, "100-200"},
		"another physical net":  {with(func(b *Binding) { b.Segments[0].PhysicalNetwork = "physnet2" }), ReasonPhysicalNetwork, "physnet2"},
		"no physical net":       {with(func(b *Binding) { b.Segments[0].PhysicalNetwork = "" }), ReasonPhysicalNetwork, "physnet1"},
		"flat":                  {with(func(b *Binding) { b.Segments[0].NetworkType = "flat" }), ReasonUnsupported, "flat"},
		"vxlan over vlan": {with(func(b *Binding) {
			b.Segments = append([]Segment{{NetworkType: "vxlan", SegmentationID: 5000}}, b.Segments...)
		}), ReasonUnsupported, "vxlan"},
		"a VM's port":            {with(func(b *Binding) { b.VNICType = "normal" }), ReasonUnsupported, "normal"},
		"subport of another tag": {with(func(b *Binding) { *b = trunked(*b, 120); b.Trunk.SubPorts[0].SegmentationID = 121 }), ReasonSubPortTag, "121"},
		"subport not allowed":    {trunked(bound(1, 110, "leaf1/Ethernet1"), 300), ReasonVLANNotAllowed, "300"},
		"subport twice":          {trunked(bound(1, 110, "leaf1/Ethernet1"), 120, 120), ReasonSubPortTag, "twice"},
		"subport is the parent":  {trunked(bound(1, 110, "leaf1/Ethernet1"), 110), ReasonSubPortTag, "twice"},
		"second link is bad":     {bound(1, 110, "leaf1/Ethernet1", "leaf2/Ethernet8"), ReasonPortProtected, "leaf2/Ethernet8"},
	} {
		t.Run(name, func(t *testing.T) {
			got, no := resolve(c.b, inv)
			if no == nil {
				t.Fatalf("it was taken: %+v", got)
			}
			if no.reason != c.reason || !strings.Contains(no.message, c.says) {
				t.Errorf("refused with %s: %s; want %s and a message with %q", no.reason, no.message, c.reason, c.says)
			}
			if len(no.message) > 400 {
				t.Errorf("the message has %d characters", len(no.message))
			}
		})
	}
}

func TestSwitchIsFoundByMACInAnySpelling(t *testing.T) {
	inv := newSite(t, 1).inventory()
	for _, spelling := range []string{"52:54:00:00:00:01", "52-54-00-00-00-01", "5254.0000.0001", "525400000001", "525400-000001", " 52:54:00:00:00:01 "} {
		b := bound(1, 110)
		b.Profile.Links = []LocalLink{{SwitchID: spelling, SwitchInfo: "some free text that Ironic left", PortID: "Ethernet1"}}
		got, no := resolve(b, inv)
		if no != nil || got[0].at != (switchPort{"leaf1", "Ethernet1"}) {
			t.Errorf("%q: %v %v", spelling, got, no)
		}
	}
}

func TestPortThatIsAdministrativelyDownIsShut(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		down, no := at(2, bound(1, 110, "leaf1/Ethernet1")), false
		down.AdminStateUp = &no
		s.send(down)
		synctest.Wait()
		wantPort(t, s, "leaf1", "Ethernet1", switchdrivers.Idle())
		wantStatuses(t, s, 1, "bound", "bound")
	})
}

// Links to members of one LAG are one claim on the LAG.
func TestLinksResolveToTheirLAG(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		leaf := s.switches["leaf1"]
		leaf.state.Ports["Port-Channel1"] = switchdrivers.Access(1)
		leaf.state.Ports["Ethernet1"] = switchdrivers.Port{Enabled: true, LAG: "Port-Channel1"}
		leaf.state.Ports["Ethernet2"] = switchdrivers.Port{Enabled: true, LAG: "Port-Channel1"}
		leaf.state.LAGs = map[string]switchdrivers.LAG{"Port-Channel1": {Members: []string{"Ethernet1", "Ethernet2"}}}
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1", "leaf1/Ethernet2"))
		synctest.Wait()
		wantStatuses(t, s, 1, "bound")
		wantPort(t, s, "leaf1", "Port-Channel1", switchdrivers.Access(110))
		if l := s.outbox.last(port(1)).Links; len(l) != 1 || l[0].Port != "Port-Channel1" {
			t.Errorf("links %+v, want the LAG alone", l)
		}
		s.send(bound(2, 120, "leaf1/Port-Channel1"))
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/port-taken")
		s.send(gone(1, 2, Absent))
		synctest.Wait()
		wantStatuses(t, s, 2, "pending/port-taken", "bound")
	})
}

// A port that joins a LAG behind our back is found to be a member at the next look, and the LAG is configured in its place.
func TestLAGThatAppearsLater(t *testing.T) {
	run(t, func(t *testing.T) {
		s := newSite(t, 1)
		leaf := s.switches["leaf1"]
		s.start()
		defer s.stop()
		synctest.Wait()
		s.send(bound(1, 110, "leaf1/Ethernet1"))
		synctest.Wait()
		leaf.fault(func() {
			leaf.state.Ports["Port-Channel1"] = switchdrivers.Access(1)
			leaf.state.Ports["Ethernet1"] = switchdrivers.Port{Enabled: true, LAG: "Port-Channel1"}
			leaf.state.LAGs = map[string]switchdrivers.LAG{"Port-Channel1": {Members: []string{"Ethernet1"}}}
		})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wantPort(t, s, "leaf1", "Port-Channel1", switchdrivers.Access(110))
	})
}
