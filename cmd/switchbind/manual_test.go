package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchbind/switchbind/portbinding"
)

func TestBindingOfFlags(t *testing.T) {
	w := wish{portID: "B16E0DCD-67e8-4442-9a66-4d1692f5846f", mac: "FA-16-3E-E2-C4-0F", segment: "phys:net:110",
		links: []string{"leaf1/Ethernet1/1", "leaf2/Ethernet1/1"}, trunk: []string{"201,203", "205=net-b"}}
	b, err := w.binding()
	if err != nil {
		t.Fatal(err)
	}
	segment := func(vlan int) []portbinding.Segment {
		return []portbinding.Segment{{NetworkType: "vlan", PhysicalNetwork: "phys:net", SegmentationID: vlan}}
	}
	id := "b16e0dcd-67e8-4442-9a66-4d1692f5846f"
	want := portbinding.Binding{PortID: id, State: "present", VNICType: "baremetal", MAC: "fa:16:3e:e2:c4:0f",
		Network: portbinding.Network{ID: "manual-phys_net-110"}, Segments: segment(110),
		Profile: portbinding.Profile{Links: []portbinding.LocalLink{{SwitchInfo: "leaf1", PortID: "Ethernet1/1"}, {SwitchInfo: "leaf2", PortID: "Ethernet1/1"}}},
		Trunk: &portbinding.Trunk{SubPorts: []portbinding.SubPort{
			{PortID: derivedUUID(id, "201"), SegmentationID: 201, Network: portbinding.Network{ID: "manual-phys_net-201"}, Segments: segment(201)},
			{PortID: derivedUUID(id, "203"), SegmentationID: 203, Network: portbinding.Network{ID: "manual-phys_net-203"}, Segments: segment(203)},
			{PortID: derivedUUID(id, "205"), SegmentationID: 205, Network: portbinding.Network{ID: "net-b"}, Segments: segment(205)}}}}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Error(diff)
	}
	if !wholeUUID.MatchString(derivedUUID(id, "201")) {
		t.Error("a derived id is not a UUID")
	}
}

func TestMoveKeepsWhatIsNotMentioned(t *testing.T) {
	before := portbinding.Binding{PortID: "p", State: "present", MAC: "m", Network: portbinding.Network{ID: "net-a"},
		Segments: []portbinding.Segment{{NetworkType: "vlan", PhysicalNetwork: "physnet1", SegmentationID: 110}},
		Profile:  portbinding.Profile{Links: []portbinding.LocalLink{{SwitchID: "52:54:00:00:00:01", PortID: "Ethernet1"}}}}
	b := before
	if err := (&wish{links: []string{"leaf2/Ethernet7"}}).move(&b); err != nil {
		t.Fatal(err)
	}
	want := before
	want.Profile.Links = []portbinding.LocalLink{{SwitchInfo: "leaf2", PortID: "Ethernet7"}}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Error(diff)
	}
	// Another VLAN is another network: the port must not be on the old one's under a new VLAN.
	b = before
	if err := (&wish{segment: "physnet1:120"}).move(&b); err != nil {
		t.Fatal(err)
	}
	if b.Network.ID != "manual-physnet1-120" || b.Segments[0].SegmentationID != 120 || len(b.Profile.Links) != 1 {
		t.Errorf("moved to %+v", b)
	}
}

func TestStampGrows(t *testing.T) {
	now := time.UnixMilli(1763798400000)
	var b portbinding.Binding
	stamp(&b, nil, now)
	first := b
	if b.Revision != now.UnixMilli() || len(b.Digest) != 16 {
		t.Errorf("stamped %d %q", b.Revision, b.Digest)
	}
	stamp(&b, &portbinding.BindingView{Source: manualSource(), Revision: b.Revision + 5}, now) // a clock that went back
	if b.Revision != first.Revision+6 || b.Digest != first.Digest {
		t.Errorf("stamped again %d %q", b.Revision, b.Digest)
	}
	stamp(&b, &portbinding.BindingView{Source: "neutron-RegionOne", Revision: 1 << 60}, now)
	if b.Revision != now.UnixMilli() {
		t.Error("another source's revision counted")
	}
}

func FuzzDecodeItem(f *testing.F) {
	f.Add(`{"port_id": "b16e0dcd-67e8-4442-9a66-4d1692f5846f", "revision_number": 3, "state": "present"}`)
	f.Add(`{"specversion": "1.0", "data": {"port_id": "x"}}`)
	f.Add(`{"specversion": "1.0"}`)
	f.Add(`[]`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		b, err := decodeItem([]byte(text))
		if err == nil && (b.PortID == "" || b.State == "") {
			t.Fatalf("a binding without id or state out of %q", text)
		}
	})
}

func FuzzParseSegment(f *testing.F) {
	f.Add("physnet1:110")
	f.Add(":1")
	f.Add("a:b:4095")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSegment(text)
		if err == nil && (s.SegmentationID < 1 || s.SegmentationID > 4094 || s.PhysicalNetwork == "" || !strings.HasPrefix(text, s.PhysicalNetwork+":")) {
			t.Fatalf("%q became %+v", text, s)
		}
	})
}
