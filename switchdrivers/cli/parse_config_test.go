package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchbind/switchbind/switchdrivers"
)

// In the shape that EOS 4.3x shows; written for this test.
const eosConfig = `! Command: show running-config
! device: leaf1 (DCS-7050SX3-48YC8, EOS-4.31.2F)
!
! boot system flash:/EOS.swi
!
hostname leaf1
!
banner login
Keep out
vlan 4000
interface Ethernet99
   switchport access vlan 4000
EOF
!
vlan internal order ascending range 1006 1199
!
vlan 10-11,20
!
vlan 110
   name net-a
!
vlan 120
   name net-b
   state suspend
!
interface Port-Channel1
   description to the server
   switchport trunk native vlan 10
   switchport trunk allowed vlan 10-11,110
   switchport mode trunk
   !
   evpn ethernet-segment
      identifier 0000:0000:0000:0000:1413
      shutdown
!
interface Ethernet1
   switchport access vlan 110
!
interface Ethernet2
   shutdown
!
interface Ethernet3
   description was let go
   shutdown
   switchport trunk native vlan 110
   switchport trunk allowed vlan 110
!
interface Ethernet4
   switchport mode trunk
!
interface Ethernet5
   switchport trunk native vlan tag
   switchport trunk allowed vlan 100-105
   switchport trunk allowed vlan add 200,300-301
   switchport mode trunk
!
interface Ethernet6
   switchport trunk allowed vlan none
   switchport mode trunk
!
interface Ethernet7
   no switchport
   ip address 192.0.2.1/31
!
interface Ethernet8
   channel-group 1 mode active
!
interface Ethernet10
   shutdown
   channel-group 1 mode active
!
interface Ethernet11
   switchport access vlan 999
!
interface Ethernet12
   switchport access vlan 120
!
interface Ethernet13
   shutdown
   switchport access vlan 110
!
interface Ethernet14
   switchport trunk allowed vlan 100
   switchport mode trunk
!
interface Ethernet15
   switchport access vlan 110
   switchport mode dot1q-tunnel
!
interface Ethernet16
   switchport access vlan 110
   switchport vlan translation 200 110
!
interface Ethernet17/1
   speed forced 10gfull
!
interface Ethernet18.100
   encapsulation dot1q vlan 100
!
interface Management1
   ip address 192.0.2.9/24
!
interface Vlan110
   shutdown
!
no ip routing
!
end
`

func TestParseEOS(t *testing.T) {
	set := func(text string) switchdrivers.VLANSet {
		s, err := switchdrivers.ParseVLANSet(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	shut := func(p switchdrivers.Port) switchdrivers.Port { p.Enabled = false; return p }
	with := func(p switchdrivers.Port, description, problem string) switchdrivers.Port {
		p.Description, p.Problem = description, problem
		return p
	}
	want := switchdrivers.State{
		VLANs: map[switchdrivers.VLANID]switchdrivers.VLAN{1: {Name: "default"}, 10: {}, 11: {}, 20: {}, 110: {Name: "net-a"},
			120: {Name: "net-b", Suspended: true}},
		LAGs: map[string]switchdrivers.LAG{"Port-Channel1": {Members: []string{"Ethernet8", "Ethernet10"}}},
		Ports: map[string]switchdrivers.Port{
			"Port-Channel1": with(switchdrivers.Trunk(10, set("11,110")), "to the server", ""),
			"Ethernet1":     switchdrivers.Access(110),
			"Ethernet2":     {},
			"Ethernet3":     {Description: "was let go"},
			"Ethernet4":     switchdrivers.Trunk(1, set("2-4094")),
			"Ethernet5":     switchdrivers.Trunk(0, set("100-105,200,300-301")),
			"Ethernet6":     switchdrivers.Trunk(0, set("none")),
			"Ethernet7":     {Enabled: true, Mode: switchdrivers.ModeRouted},
			"Ethernet8":     {Enabled: true, LAG: "Port-Channel1"},
			"Ethernet10":    {LAG: "Port-Channel1"},
			"Ethernet11":    with(switchdrivers.Access(999), "", "access VLAN 999 does not exist, the port is inactive"),
			"Ethernet12":    with(switchdrivers.Access(120), "", "access VLAN 120 is suspended"),
			"Ethernet13":    shut(switchdrivers.Access(110)),
			// The native VLAN, 1, is not on the list: untagged frames are dropped.
			"Ethernet14":   switchdrivers.Trunk(0, set("100")),
			"Ethernet15":   with(switchdrivers.Trunk(110, switchdrivers.AllVLANs()), "", "the mode is dot1q-tunnel"),
			"Ethernet16":   with(switchdrivers.Access(110), "", "switchport vlan translation 200 110"),
			"Ethernet17/1": switchdrivers.Access(1),
		},
	}
	for name, text := range map[string]string{"as recorded": eosConfig, "CR LF": strings.ReplaceAll(eosConfig, "\n", "\r\n")} {
		got, err := platform(t, "arista_eos").Parse([]string{text})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(switchdrivers.VLANSet.Equal)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestParseRoutedByDefault(t *testing.T) {
	text := "switchport default mode routed\ninterface Ethernet1\ninterface Ethernet2\n   switchport\n   switchport access vlan 5\nvlan 5\nend\n"
	got, err := platform(t, "arista_eos").Parse([]string{text})
	if err != nil {
		t.Fatal(err)
	}
	if got.Ports["Ethernet1"].Mode != switchdrivers.ModeRouted || !got.Ports["Ethernet2"].Equal(switchdrivers.Access(5)) {
		t.Errorf("%+v", got.Ports)
	}
}

// What cannot be understood is an error: never a state with fewer VLANs in it.
func TestParseEOSRefuses(t *testing.T) {
	const port = "interface Ethernet1\n   switchport access vlan 110\n"
	for name, text := range map[string]string{
		"nothing":            "",
		"cut off":            strings.TrimSuffix(eosConfig, "end\n"),
		"cut off in a block": port,
		"no port":            "hostname leaf1\nend\n",
		"text after the end": port + "end\ninterface Ethernet2\n",
		"VLAN 4095":          "interface Ethernet1\n   switchport access vlan 4095\nend\n",
		"a bad list":         "interface Ethernet1\n   switchport trunk allowed vlan 10-,x\nend\n",
		"a bad VLAN":         port + "vlan 10-5000\nend\n",
		"an endless banner":  port + "banner motd\nhello\nend\n",
		"an error":           "% Invalid input\n",
	} {
		if state, err := platform(t, "arista_eos").Parse([]string{text}); err == nil {
			t.Errorf("%s: read as %+v", name, state)
		}
	}
}

func FuzzParseEOS(f *testing.F) {
	f.Add(eosConfig)
	f.Add(tinyConfig)
	f.Add("interface Ethernet1\n   switchport trunk allowed vlan 1-4094\n   switchport mode trunk\nvlan 1-4094\nend")
	p := platform(f, "arista_eos")
	f.Fuzz(func(t *testing.T, text string) {
		state, err := p.Parse([]string{text})
		if err != nil {
			return
		}
		checkState(t, p, state)
	})
}

// checkState is what holds for every state that a parser returns.
func checkState(t *testing.T, p *Platform, state switchdrivers.State) {
	t.Helper()
	for id := range state.VLANs {
		if !id.Valid() {
			t.Errorf("VLAN %d", id)
		}
	}
	for name, port := range state.Ports {
		if got, err := p.PortName(name); p.dialect.Read.Parser != "ovs_json" && (err != nil || got != name) {
			t.Errorf("the port %q is called %q (%v)", name, got, err)
		}
		if port.LAG != "" && !port.VLANs().IsEmpty() {
			t.Errorf("%s is a member and has VLANs", name)
		}
		if port.Mode == switchdrivers.ModeTrunk && port.NativeVLAN != 0 && port.TaggedVLANs.Contains(port.NativeVLAN) {
			t.Errorf("%s: the native VLAN is tagged", name)
		}
		if port.Mode != switchdrivers.ModeTrunk && (port.NativeVLAN != 0 || !port.TaggedVLANs.IsEmpty()) ||
			port.Mode != switchdrivers.ModeAccess && port.AccessVLAN != 0 {
			t.Errorf("%s: %+v is not canonical", name, port)
		}
	}
	for lag, group := range state.LAGs {
		for _, member := range group.Members {
			if state.Ports[member].LAG != lag {
				t.Errorf("%s is no member of %s", member, lag)
			}
		}
	}
}

func TestForeignLinesInADiff(t *testing.T) {
	d := platform(t, "arista_eos").dialect
	change := to("Ethernet5", switchdrivers.Access(110))
	change.VLANs = []switchdrivers.VLANChange{{ID: 110, To: &switchdrivers.VLAN{Name: "net-a"}}}
	change.Delete = []switchdrivers.VLANChange{{ID: 99}}
	script, err := d.render(change, "x")
	if err != nil {
		t.Fatal(err)
	}
	const head = "--- system:/running-config\n+++ session:/switchbind-1-session-config\n"
	for name, test := range map[string]struct {
		diff string
		ours bool
	}{
		"nothing": {"", true},
		"ours": {head + "@@ -10,9 +10,12 @@\n !\n vlan 20\n    name old\n !\n-vlan 99\n+vlan 110\n+   name net-a\n !\n@@ -33,7 +36,6 @@\n !\n" +
			" interface Ethernet5\n-   shutdown\n+   switchport access vlan 110\n !\n interface Ethernet6\n", true},
		"ours, far from its first line": {head + "@@ -33,7 +36,6 @@\n    speed forced 10gfull\n    mtu 9214\n" +
			"-   switchport access vlan 7\n+   switchport access vlan 110\n", true},
		"VLANs without names, joined":          {head + "@@ -1,3 +1,3 @@\n-vlan 10-11\n+vlan 10-11,110\n !\n", true},
		"another VLAN beside ours":             {head + "@@ -1,3 +1,3 @@\n-vlan 10-11\n+vlan 10-11,110,666\n !\n", false},
		"another VLAN's name":                  {head + "@@ -1,3 +1,3 @@\n vlan 10\n-   name a\n+   name b\n !\n", false},
		"a line of another kind in our block":  {head + "@@ -1,3 +1,3 @@\n interface Ethernet5\n-   shutdown\n-!\n-interface Ethernet6\n    mtu 9000\n+   switchport access vlan 110\n+!\n+interface Ethernet6\n+   mtu 9000\n !\n", false},
		"badly paired":                         {head + "@@ -1,3 +1,3 @@\n interface Ethernet5\n-   shutdown\n-!\n-interface Ethernet6\n    description x\n+!\n+interface Ethernet6\n+   description x\n !\n", true},
		"another port":                         {head + "@@ -33,7 +36,6 @@\n !\n interface Ethernet6\n-   shutdown\n", false},
		"another port after ours":              {head + "@@ -33,7 +36,6 @@\n interface Ethernet5\n-   shutdown\n !\n interface Ethernet6\n+   shutdown\n", false},
		"a new port":                           {head + "@@ -33,7 +36,6 @@\n+interface Ethernet50\n+   shutdown\n", false},
		"another kind of line":                 {head + "@@ -33,7 +36,6 @@\n-ip routing\n", false},
		"another kind, far from its first one": {head + "@@ -33,7 +36,6 @@\n    neighbor 192.0.2.1 remote-as 1\n-   neighbor 192.0.2.2 remote-as 1\n", false},
	} {
		if foreign := d.foreign(test.diff, script); (foreign == "") != test.ours {
			t.Errorf("%s: %q", name, foreign)
		}
	}
}

func FuzzForeign(f *testing.F) {
	d := platform(f, "arista_eos").dialect
	script, err := d.render(to("Ethernet5", switchdrivers.Access(110)), "x")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("--- a\n+++ b\n@@ -1 +1 @@\n interface Ethernet5\n-   shutdown\n")
	f.Fuzz(func(t *testing.T, diff string) { _ = d.foreign(diff, script) })
}
