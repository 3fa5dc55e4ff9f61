package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

func lines(text string) string { return strings.TrimPrefix(text, "\n") }

func same(t *testing.T, p *page, want string) {
	t.Helper()
	if diff := cmp.Diff(lines(want), p.String()); diff != "" {
		t.Error(diff)
	}
	for line := range strings.SplitSeq(p.String(), "\n") {
		if strings.TrimRight(line, " ") != line {
			t.Errorf("blanks at the end of %q", line)
		}
	}
}

func TestBindingTable(t *testing.T) {
	var p page
	bindingTable(&p, []portbinding.BindingView{
		{PortID: "b16e0dcd-67e8-4442-9a66-4d1692f5846f", Network: portbinding.Network{ID: "d6b9ffd7", Name: "tenant-a"}, VLAN: 110,
			Status: "bound", Links: []portbinding.LinkResult{{Switch: "leaf1", Port: "Ethernet1"}, {Switch: "leaf2", Port: "Ethernet1"}}},
		{PortID: "3c1f0dcd-67e8-4442-9a66-4d1692f5846f", Network: portbinding.Network{ID: "0a7e11c2-9a66-4d16"}, VLAN: 120,
			Status: "pending", Reason: "vlan-quarantined", Overridden: true, Links: []portbinding.LinkResult{{Switch: "leaf1", Port: "Ethernet2"}}},
		{PortID: "4d1f0dcd-67e8-4442-9a66-4d1692f5846f", Status: "released"},
	})
	same(t, &p, `
PORT                                  NETWORK       VLAN  STATUS             SWITCH PORT         REASON
b16e0dcd-67e8-4442-9a66-4d1692f5846f  tenant-a      110   bound              leaf1/Ethernet1 +1
3c1f0dcd-67e8-4442-9a66-4d1692f5846f  0a7e11c2-9a…  120   pending (by hand)  leaf1/Ethernet2     vlan-quarantined
4d1f0dcd-67e8-4442-9a66-4d1692f5846f  -             -     released           -
`)
}

func TestBindingDetails(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	verified, down := now.Add(-5*time.Minute), false
	trunk := switchdrivers.Trunk(110, switchdrivers.VLANs(201))
	var p page
	bindingDetails(&p, portbinding.BindingView{
		PortID: "b16e0dcd-67e8-4442-9a66-4d1692f5846f", Source: "cli-ops", State: "present", Overridden: true, Revision: 7,
		VNICType: "baremetal", MAC: "fa:16:3e:e2:c4:0f", Network: portbinding.Network{ID: "d6b9ffd7", Name: "tenant-a"}, VLAN: 110,
		Status: "failed", Reason: "unreachable", Message: "switch leaf2 (192.0.2.12) cannot be reached", Verified: &verified, Updated: now,
		Links: []portbinding.LinkResult{
			{Switch: "leaf1", Port: "Ethernet1", Status: "bound", Observed: &trunk},
			{Switch: "leaf2", Port: "Ethernet1", Status: "failed", Reason: "unreachable", Message: "no\nroute\x07"}},
		Leaving: []portbinding.Hold{{Switch: "leaf3", Port: "Ethernet9", VLANs: []portbinding.HeldVLAN{{VLAN: 300, PhysicalNetwork: "physnet1", NetworkID: "n"}}}},
		Binding: &portbinding.Binding{State: "present", AdminStateUp: &down,
			Segments: []portbinding.Segment{{NetworkType: "vlan", PhysicalNetwork: "physnet1", SegmentationID: 110}},
			Trunk:    &portbinding.Trunk{SubPorts: []portbinding.SubPort{{PortID: "77aa", SegmentationID: 201, Network: portbinding.Network{ID: "net-b"}}}}},
		Controller: &portbinding.Binding{State: "present", Network: portbinding.Network{Name: "tenant-c"},
			Segments: []portbinding.Segment{{NetworkType: "vlan", PhysicalNetwork: "physnet1", SegmentationID: 130}},
			Profile:  portbinding.Profile{Links: []portbinding.LocalLink{{SwitchInfo: "leaf1", PortID: "Ethernet1"}}}},
	}, now)
	same(t, &p, `
port        b16e0dcd-67e8-4442-9a66-4d1692f5846f
status      failed
why         unreachable: switch leaf2 (192.0.2.12) cannot be reached
            (the switch does not answer)
source      cli-ops, by hand, over the controller's binding; ends when that changes
state       present, revision 7
network     tenant-a (d6b9ffd7)
segment     vlan 110 of physnet1
tagged      VLAN 201, network net-b, subport 77aa
admin       down
MAC         fa:16:3e:e2:c4:0f
VNIC type   baremetal
verified    5m ago
changed     now

SWITCH  PORT       STATUS  READ BACK                    REASON
leaf1   Ethernet1  bound   trunk native 110 tagged 201
leaf2   Ethernet1  failed  -                            unreachable
leaf2/Ethernet1: no route?

not yet verified out of:
  leaf3/Ethernet9: VLAN 300 of physnet1 (network n)

the controller wants: leaf1/Ethernet1 in vlan 130 of physnet1, network tenant-c
`)
}

func TestSwitchTable(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	read, retry := now.Add(-42*time.Second), now.Add(30*time.Second)
	var p page
	switchTable(&p, []portbinding.SwitchView{
		{Name: "leaf1", Address: "192.0.2.11", Platform: "ssh/arista_eos", Health: "ok", Bound: 48, Unsaved: true, LastRead: &read},
		{Name: "leaf2", Address: "192.0.2.12", Platform: "ssh/openvswitch", Health: "unreachable", Message: "switch leaf2 cannot be reached",
			RetryAt: &retry, Pending: 3, Leaving: 1},
		{Name: "spine1", Address: "192.0.2.1", Platform: "gnmi/openconfig", Health: "paused", LastRead: &read, Message: "firmware",
			Paused: &portbinding.Remark{By: "ops", Because: "firmware", At: now.Add(-time.Hour)}, Warnings: []string{"tls.skip_verify: anybody"}},
	}, now)
	same(t, &p, `
SWITCH  ADDRESS     PLATFORM         HEALTH                     BOUND  PENDING  LEAVING  CONFIG   READ
leaf1   192.0.2.11  ssh/arista_eos   ok                         48     0        0        unsaved  42s ago
leaf2   192.0.2.12  ssh/openvswitch  unreachable, again in 30s  0      3        1        saved    never
spine1  192.0.2.1   gnmi/openconfig  paused                     0      0        0        saved    42s ago
leaf2: switch leaf2 cannot be reached
`+"spine1: paused by ops 1h ago: firmware; `switchbind resume spine1` ends it"+`
spine1: warning: tls.skip_verify: anybody
`)
}

func TestPlanOfAGNMIRequest(t *testing.T) {
	var p page
	planPage(&p, []portbinding.PlanView{{Switch: "spine1", Platform: "gnmi/openconfig",
		Script: switchdrivers.Script{{Text: "{\n  \"replace\": []\n}\n", Why: "bind b16e"}}}, {Switch: "leaf1", Platform: "ssh/arista_eos"}})
	same(t, &p, `
spine1 (gnmi/openconfig): would be sent:
  # bind b16e
  {
    "replace": []
  }

leaf1 (ssh/arista_eos): nothing would be sent
`)
}

func TestTextOfOthersCannotSteerTheTerminal(t *testing.T) {
	if got := clean("a\x1b[2Jb\r\nc\u202ed\x00"); got != "a?[2Jb? c?d?" {
		t.Errorf("got %q", got)
	}
}

func TestTokenOfAUserName(t *testing.T) {
	for name, want := range map[string]string{"root": "root", `DOMAIN\jörg`: "DOMAIN_j_rg", "": "unknown", "a.b>c *": "a_b_c__",
		strings.Repeat("x", 200): strings.Repeat("x", 64)} {
		if got := token(name); got != want {
			t.Errorf("token(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestChooseTheHolderOfASwitchPort(t *testing.T) {
	link := func(reason portbinding.Reason) []portbinding.LinkResult {
		return []portbinding.LinkResult{{Switch: "leaf1", Port: "Ethernet1/1", Reason: reason}}
	}
	all := []portbinding.BindingView{
		{PortID: "aaaa", State: portbinding.Present, Links: link(portbinding.ReasonPortTaken)},
		{PortID: "aabb", State: portbinding.Present, Links: link("")},
		{PortID: "ccdd", State: portbinding.Absent, Links: link("")},
	}
	for name, want := range map[string]string{"leaf1/Ethernet1/1": "aabb", "leaf1/ethernet1/1": "aabb", "aaaa": "aaaa", "C": "ccdd",
		"aa": "", "leaf1/Ethernet1": "", "": "", "leaf1": ""} {
		if got, err := choose(all, name); got != want || (err == nil) != (want != "") {
			t.Errorf("choose(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
}

// TestNothingIsNoPerson: cron and systemd give /dev/null as standard input, under names that do not say so.
func TestNothingIsNoPerson(t *testing.T) {
	link := filepath.Join(t.TempDir(), "stdin")
	if err := os.Symlink(os.DevNull, link); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(link)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if isTerminal(f) {
		t.Error("/dev/null is taken for a terminal")
	}
}
