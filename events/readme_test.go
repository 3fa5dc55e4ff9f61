package events

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchbind/switchbind/portbinding"
)

// TestTheReadmesEventIsRead takes the README at its word: what it shows, published on the subject it shows, is a binding. Unknown
// fields are ignored by contract, so a misspelt one would only be missed by comparing everything.
func TestTheReadmesEventIsRead(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	subject := regexp.MustCompile(`switchbind\.binding\.[\w-]+\.[0-9a-f-]{36}`).FindString(string(readme))
	all, err := newSubjects("switchbind")
	if err != nil {
		t.Fatal(err)
	}
	source, port, ok := all.tail("binding", subject)
	if !ok {
		t.Fatalf("README.md shows no subject of a binding: %q", subject)
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) != 1 {
		t.Fatalf("README.md shows %d JSON events, want the one that is tested here", len(blocks))
	}
	e, err := decodeBinding(source, port, []byte(blocks[0][1]))
	if err != nil {
		t.Fatal(err)
	}
	up := true
	want := portbinding.Binding{
		PortID: portA, Revision: 3, Digest: "86958901b14549f3", State: portbinding.Present, VNICType: portbinding.VNICBaremetal,
		MAC: "fa:16:3e:e2:c4:0f", AdminStateUp: &up, MTU: 1500, Hosts: []portbinding.Host{{ID: "node-uuid-1", Status: "active"}},
		Network:  portbinding.Network{ID: "d6b9ffd7-67e8-4442-9a66-4d1692f5846f", Name: "tenant-a"},
		Segments: []portbinding.Segment{{NetworkType: "vlan", PhysicalNetwork: "physnet1", SegmentationID: 110}},
		Profile: portbinding.Profile{Links: []portbinding.LocalLink{{SwitchID: "52:54:00:00:00:01", SwitchInfo: "leaf1",
			PortID: "Ethernet1"}}},
	}
	if diff := cmp.Diff(want, e.Binding); diff != "" {
		t.Errorf("README.md shows another binding (-want +got):\n%s", diff)
	}
}
