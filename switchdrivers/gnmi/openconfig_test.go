package gnmi

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/switchbind/switchbind/switchdrivers"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func vlans(text string) switchdrivers.VLANSet {
	set, err := switchdrivers.ParseVLANSet(text)
	if err != nil {
		panic(err)
	}
	return set
}

// everything is a change with every kind of operation in it.
func everything() switchdrivers.Change {
	described := switchdrivers.Access(110)
	described.Description = `switchbind 6f2a "tenant-a"`
	shut := switchdrivers.Access(120)
	shut.Enabled = false
	return switchdrivers.Change{
		VLANs: []switchdrivers.VLANChange{
			{ID: 110, To: &switchdrivers.VLAN{Name: "tenant-a"}, Reason: "needed by Ethernet1"},
			{ID: 111, To: &switchdrivers.VLAN{}},
			{ID: 120, From: &switchdrivers.VLAN{Name: "old"}, To: &switchdrivers.VLAN{Name: "new"}, Reason: "the network was renamed"},
		},
		Ports: []switchdrivers.PortChange{
			{Name: "Ethernet1", To: described, Reason: "bound to tenant-a"},
			{Name: "Ethernet2", From: described, To: switchdrivers.Idle(), Reason: "let go"},
			{Name: "Ethernet3/1", To: switchdrivers.Trunk(10, vlans("100,200-210,300"))},
			{Name: "Ethernet4", To: switchdrivers.Trunk(0, vlans("4093-4094"))},
			{Name: "Ethernet5", To: shut},
			{Name: "Port-Channel1", To: switchdrivers.Trunk(0, vlans("110,120"))},
		},
		Delete: []switchdrivers.VLANChange{{ID: 130, From: &switchdrivers.VLAN{Name: "gone"}, Reason: "ours, and nobody's any more"}},
	}
}

func TestRenderIsWhatTheGoldenFileSays(t *testing.T) {
	script, err := OpenConfig().Render(everything())
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, line := range script {
		if line.Why != "" {
			got.WriteString("# " + line.Why + "\n")
		}
		got.WriteString(line.Text + "\n")
	}
	file := filepath.Join("testdata", "openconfig.golden")
	if *rewrite {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("rendered differently (-want +got):\n%s", diff)
	}
}

// The payloads that other public OpenConfig clients send to Arista EOS and others, written down by hand from the models'
// text: paths, leaf names, enumerations and the ".." of ranges do not come from this package.
func TestPayloadsAreThoseOfTheModels(t *testing.T) {
	port := "/interfaces/interface[name=X1]"
	for _, c := range []struct {
		name string
		to   switchdrivers.Port
		want []string
	}{
		{"access", switchdrivers.Access(100), []string{
			`replace ` + port + `/ethernet/switched-vlan {"openconfig-vlan:config":{"interface-mode":"ACCESS","access-vlan":100}}`,
			`update ` + port + `/config/enabled true`}},
		{"trunk", switchdrivers.Trunk(10, vlans("100,200-210")), []string{
			`replace ` + port + `/ethernet/switched-vlan {"openconfig-vlan:config":{"interface-mode":"TRUNK","native-vlan":10,` +
				`"trunk-vlans":[10,100,"200..210"]}}`,
			`update ` + port + `/config/enabled true`}},
		{"trunk without native", switchdrivers.Trunk(0, vlans("100-101")), []string{
			`replace ` + port + `/ethernet/switched-vlan {"openconfig-vlan:config":{"interface-mode":"TRUNK","trunk-vlans":["100..101"]}}`,
			`update ` + port + `/config/enabled true`}},
		{"idle", switchdrivers.Idle(), []string{
			`replace ` + port + `/config/enabled false`,
			`replace ` + port + `/ethernet/switched-vlan {"openconfig-vlan:config":{"interface-mode":"ACCESS","access-vlan":1}}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			script, err := OpenConfig().Render(switchdrivers.Change{Ports: []switchdrivers.PortChange{{Name: "X1", To: c.to}}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range script {
				got = append(got, line.Text)
				if line.Port != "X1" {
					t.Errorf("%q is said to be for port %q", line.Text, line.Port)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatTheModelCannotSayIsRefusedForItsPortAlone(t *testing.T) {
	change := switchdrivers.Change{Ports: []switchdrivers.PortChange{
		{Name: "Ethernet1", To: switchdrivers.Access(100)},
		{Name: "Ethernet2", To: switchdrivers.Trunk(0, switchdrivers.VLANSet{})},
		{Name: "Ethernet3", To: switchdrivers.Trunk(0, switchdrivers.AllVLANs())},
		{Name: "Ethernet4", To: switchdrivers.Port{Enabled: true}},
		{Name: "Ethernet5", To: switchdrivers.Port{Enabled: true, Mode: switchdrivers.ModeRouted}},
		{Name: "Ethernet6", To: switchdrivers.Port{Enabled: true, Mode: switchdrivers.ModeAccess}},
		{Name: "Ethernet7", From: switchdrivers.Port{LAG: "Port-Channel1"}, To: switchdrivers.Access(100)},
	}}
	_, err := OpenConfig().Render(change)
	var refused *switchdrivers.RefusedError
	var unsupported *switchdrivers.UnsupportedError
	if !errors.As(err, &refused) || !errors.As(err, &unsupported) {
		t.Fatalf("got %v", err)
	}
	var ports []string
	for _, r := range refused.Rejections {
		ports = append(ports, r.Port)
	}
	if want := []string{"Ethernet2", "Ethernet3", "Ethernet4", "Ethernet5", "Ethernet6", "Ethernet7"}; !cmp.Equal(want, ports) {
		t.Errorf("refused %v, want %v", ports, want)
	}
}

func TestPortNames(t *testing.T) {
	p := OpenConfig()
	for _, good := range []string{"Ethernet1", "Ethernet1/1", "Port-Channel10", "ge-0/0/1:0", "TwentyFiveGigE1/0/1", "xe-0/0/0.0"} {
		if got, err := p.PortName(good); err != nil || got != good {
			t.Errorf("PortName(%q) = %q, %v", good, got, err)
		}
	}
	for _, bad := range []string{"", "1/1", "Ethernet 1", "Ethernet1]", "Ethernet[1", "a=b", `E"1`, "E'1", "E\n1", "E1\x00", "Éthernet1", "E;1",
		"*", "E*", strings.Repeat("E", 65), strings.Repeat("E", 10_000)} {
		if got, err := p.PortName(bad); err == nil {
			t.Errorf("PortName(%q) = %q, want an error", bad, got)
		} else if named := new(switchdrivers.PortNameError); !errors.As(err, &named) {
			t.Errorf("PortName(%q): %T", bad, err)
		}
	}
}

func decodeJSONText(t *testing.T, text string, ports []string) (switchdrivers.State, error) {
	t.Helper()
	m := OpenConfig().model
	tree, err := decodeAnswer(m.listKeys(), answer(jsonAt(text)).Notification)
	if err != nil {
		return switchdrivers.State{}, err
	}
	return m.decode(tree, ports)
}

func interfaceJSON(name, rest string) string {
	return `{"openconfig-interfaces:interfaces":{"interface":[{"name":"` + name + `","config":{"name":"` + name + `"},` + rest + `}]},
		"openconfig-network-instance:network-instances":{"network-instance":[{"name":"default","vlans":{"vlan":[
		{"vlan-id":1,"config":{"vlan-id":1,"name":"default"}},
		{"vlan-id":10,"config":{"vlan-id":10}},{"vlan-id":20,"config":{"vlan-id":20,"status":"SUSPENDED"}}]}}]}}`
}

// What a port's configuration reads as, for the spellings and defaults that targets are known for.
func TestReadingOnePort(t *testing.T) {
	const eth = `"openconfig-if-ethernet:ethernet":{"openconfig-vlan:switched-vlan":{"config":`
	const disabled = `"openconfig-interfaces:config":{"enabled":false},`
	access := switchdrivers.Access
	for _, c := range []struct {
		name, rest string
		want       switchdrivers.Port
		problem    string
	}{
		{"access", eth + `{"interface-mode":"ACCESS","access-vlan":10}}}`, access(10), ""},
		{"access, numbers as strings", eth + `{"interface-mode":"ACCESS","access-vlan":"10"}}}`, access(10), ""},
		{"access, shut", disabled + eth + `{"interface-mode":"ACCESS","access-vlan":10}}}`,
			switchdrivers.Port{Mode: switchdrivers.ModeAccess, AccessVLAN: 10}, ""},
		{"idle", disabled + eth + `{"interface-mode":"ACCESS","access-vlan":1}}}`, switchdrivers.Idle(), ""},
		{"idle, default left out", disabled + eth + `{"interface-mode":"ACCESS"}}}`, switchdrivers.Idle(), ""},
		{"idle, leftovers of a trunk", disabled + eth + `{"interface-mode":"ACCESS","trunk-vlans":[10]}}}`, switchdrivers.Idle(), ""},
		{"default VLAN, enabled", eth + `{"interface-mode":"ACCESS"}}}`, access(1), ""},
		{"a trunk of all VLANs", eth + `{"interface-mode":"TRUNK"}}}`, switchdrivers.Trunk(1, switchdrivers.AllVLANs()), ""},
		{"an empty list is no list", eth + `{"interface-mode":"TRUNK","trunk-vlans":[]}}}`, switchdrivers.Trunk(1, switchdrivers.AllVLANs()), ""},
		{"trunk without native", eth + `{"interface-mode":"TRUNK","trunk-vlans":[10]}}}`, switchdrivers.Trunk(0, vlans("10")), ""},
		{"trunk, native 1 not carried", eth + `{"interface-mode":"TRUNK","native-vlan":1,"trunk-vlans":["10"]}}}`, switchdrivers.Trunk(0, vlans("10")), ""},
		{"trunk, native 1 by default", eth + `{"interface-mode":"TRUNK","trunk-vlans":["1..2"]}}}`, switchdrivers.Trunk(1, vlans("2")),
			"VLAN 2 does not exist"},
		{"trunk, all with native", eth + `{"interface-mode":"TRUNK","native-vlan":10}}}`,
			switchdrivers.Trunk(10, switchdrivers.AllVLANs()), ""},
		{"trunk, native carried", eth + `{"interface-mode":"TRUNK","native-vlan":10,"trunk-vlans":["10..10"]}}}`,
			switchdrivers.Trunk(10, switchdrivers.VLANSet{}), ""},
		{"trunk, native not carried", eth + `{"interface-mode":"TRUNK","native-vlan":10,"trunk-vlans":[1]}}}`,
			switchdrivers.Trunk(10, vlans("1")), "native VLAN 10 is not among"},
		{"F5OS leaves the mode out", eth + `{"native-vlan":10,"trunk-vlans":[1]}}}`, switchdrivers.Trunk(10, vlans("1")), "native VLAN 10"},
		{"mode left out, access", eth + `{"access-vlan":10}}}`, access(10), ""},
		{"access VLAN missing", eth + `{"interface-mode":"ACCESS","access-vlan":30}}}`, access(30), "VLAN 30 does not exist"},
		{"access VLAN suspended", eth + `{"interface-mode":"ACCESS","access-vlan":20}}}`, access(20), "VLAN 20 is suspended"},
		{"VLAN translation", eth + `{"interface-mode":"TRUNK","trunk-vlans":[10]},"vlan-translation:vlan-translation":{"ingress":[{"translation-key":10,
			"config":{"translation-key":10,"bridging-vlan":20}}]}}}`, switchdrivers.Trunk(0, vlans("10")), "translation"},
		{"routed, addresses", `"subinterfaces":{"subinterface":[{"index":0,"openconfig-if-ip:ipv4":{"config":{"enabled":true}}}]}`,
			switchdrivers.Port{Enabled: true, Mode: switchdrivers.ModeRouted}, ""},
		{"routed", `"openconfig-if-ethernet:ethernet":{"config":{"mtu":9194}}`,
			switchdrivers.Port{Enabled: true, Mode: switchdrivers.ModeRouted}, ""},
		{"nothing but its name", `"ethernet":{}`, switchdrivers.Port{Enabled: true, Mode: switchdrivers.ModeRouted}, ""},
		{"routed, shut", `"openconfig-interfaces:config":{"enabled":false}`, switchdrivers.Port{Mode: switchdrivers.ModeRouted}, ""},
		{"a switch port whose defaults are left out", eth + `{"vendor-augments:mac-learning":true}}}`, access(1), ""},
		{"member", `"openconfig-if-ethernet:ethernet":{"config":{"openconfig-if-aggregate:aggregate-id":"Port-Channel7"},
			"openconfig-vlan:switched-vlan":{"config":{"interface-mode":"ACCESS","access-vlan":10}}}`,
			switchdrivers.Port{Enabled: true, LAG: "Port-Channel7"}, ""},
		{"state does not count", `"openconfig-if-ethernet:ethernet":{"openconfig-vlan:switched-vlan":{"state":{"interface-mode":"ACCESS","access-vlan":10}}}`,
			switchdrivers.Port{Enabled: true, Mode: switchdrivers.ModeRouted}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			state, err := decodeJSONText(t, interfaceJSON("Ethernet1", c.rest), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := state.Ports["Ethernet1"]
			if !strings.Contains(got.Problem, c.problem) || (c.problem == "") != (got.Problem == "") {
				t.Errorf("problem %q, want %q", got.Problem, c.problem)
			}
			got.Problem = ""
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadingFailsRatherThanGuesses(t *testing.T) {
	const eth = `"openconfig-if-ethernet:ethernet":{"openconfig-vlan:switched-vlan":{"config":`
	for name, text := range map[string]string{
		"unknown mode":     interfaceJSON("Ethernet1", eth+`{"interface-mode":"HYBRID"}}}`),
		"VLAN 0":           interfaceJSON("Ethernet1", eth+`{"interface-mode":"ACCESS","access-vlan":0}}}`),
		"VLAN 4095":        interfaceJSON("Ethernet1", eth+`{"interface-mode":"TRUNK","trunk-vlans":["1..4095"]}}}`),
		"QinQ":             interfaceJSON("Ethernet1", eth+`{"interface-mode":"ACCESS","access-vlan":"100.200"}}}`),
		"VLAN word":        interfaceJSON("Ethernet1", eth+`{"interface-mode":"TRUNK","trunk-vlans":["all"]}}}`),
		"VLAN none":        interfaceJSON("Ethernet1", eth+`{"interface-mode":"TRUNK","trunk-vlans":["none"]}}}`),
		"VLAN empty":       interfaceJSON("Ethernet1", eth+`{"interface-mode":"TRUNK","trunk-vlans":[""]}}}`),
		"backwards":        interfaceJSON("Ethernet1", eth+`{"interface-mode":"TRUNK","trunk-vlans":["20..10"]}}}`),
		"list of lists":    interfaceJSON("Ethernet1", eth+`{"interface-mode":"TRUNK","trunk-vlans":[[10]]}}}`),
		"enabled maybe":    interfaceJSON("Ethernet1", `"openconfig-interfaces:config":{"enabled":"maybe"}`),
		"no name":          `{"interfaces":{"interface":[{"config":{"enabled":true}}]}}`,
		"not objects":      `{"interfaces":{"interface":["Ethernet1"]}}`,
		"VLAN table words": `{"network-instances":{"network-instance":[{"name":"default","vlans":{"vlan":[{"vlan-id":"x"}]}}]}}`,
		"not JSON":         `{"interfaces":`,
		"two JSONs":        `{} {}`,
	} {
		if state, err := decodeJSONText(t, text, nil); err == nil {
			t.Errorf("%s: read as %+v", name, state)
		}
	}
}

// One configuration, told in as many ways as targets tell it.
func TestGranularity(t *testing.T) {
	want := switchdrivers.State{
		VLANs: map[switchdrivers.VLANID]switchdrivers.VLAN{10: {Name: "ten"}, 20: {Name: "twenty", Suspended: true}},
		Ports: map[string]switchdrivers.Port{
			"Ethernet1":     {Enabled: true, Mode: switchdrivers.ModeAccess, AccessVLAN: 10, Description: "one"},
			"Ethernet2":     {Enabled: true, LAG: "Port-Channel1"},
			"Port-Channel1": {Mode: switchdrivers.ModeTrunk, TaggedVLANs: vlans("10,20")},
		},
		LAGs: map[string]switchdrivers.LAG{"Port-Channel1": {Members: []string{"Ethernet2"}}},
	}
	ifs, eth1, eth2, po := e("interfaces"), e("interface", "name", "Ethernet1"), e("interface", "name", "Ethernet2"), e("interface", "name", "Port-Channel1")
	table := []*pb.PathElem{e("network-instances"), e("network-instance", "name", "default"), e("vlans")}
	vlan := func(id string, more ...*pb.PathElem) []*pb.PathElem {
		return append(append(append([]*pb.PathElem{}, table...), e("vlan", "vlan-id", id)), more...)
	}
	scalar := func(v *pb.TypedValue, elems ...*pb.PathElem) *pb.Update {
		return &pb.Update{Path: &pb.Path{Elem: elems}, Val: v}
	}
	str := func(s string) *pb.TypedValue { return &pb.TypedValue{Value: &pb.TypedValue_StringVal{StringVal: s}} }
	num := func(n uint64) *pb.TypedValue { return &pb.TypedValue{Value: &pb.TypedValue_UintVal{UintVal: n}} }
	boolean := func(b bool) *pb.TypedValue { return &pb.TypedValue{Value: &pb.TypedValue_BoolVal{BoolVal: b}} }

	const one = `{"openconfig-interfaces:name":"Ethernet1","openconfig-interfaces:config":{"name":"Ethernet1","type":"iana-if-type:ethernetCsmacd","description":"one"},
		"openconfig-if-ethernet:ethernet":{"openconfig-vlan:switched-vlan":{"config":{"interface-mode":"ACCESS","access-vlan":10}}}}`
	const two = `{"name":"Ethernet2","config":{"name":"Ethernet2","enabled":true},"ethernet":{"config":{"openconfig-if-aggregate:aggregate-id":"Port-Channel1"}}}`
	const lag = `{"name":"Port-Channel1","config":{"type":"ieee8023adLag","enabled":false},
		"openconfig-if-aggregate:aggregation":{"switched-vlan":{"config":{"interface-mode":"TRUNK","trunk-vlans":[10,"20"]}}}}`
	const vl = `{"openconfig-network-instance:vlan":[{"vlan-id":10,"config":{"vlan-id":10,"name":"ten"}},{"vlan-id":20,"config":{"name":"twenty","status":"SUSPENDED"}}]}`

	for name, response := range map[string]*pb.GetResponse{
		"one whole interface an update": answer(jsonAt(one, ifs, eth1), jsonAt(two, ifs, eth2), jsonAt(lag, ifs, po), jsonAt(vl, table...)),
		"the container":                 answer(jsonAt(`{"openconfig-interfaces:interface":[`+one+`,`+two+`,`+lag+`]}`, ifs), jsonAt(vl, table...)),
		"the list":                      answer(jsonAt(`[`+one+`,`+two+`,`+lag+`]`, ifs, e("interface")), jsonAt(vl, table...)),
		"the root": answer(jsonAt(`{"interfaces":{"interface":[` + one + `,` + two + `,` + lag + `]},"network-instances":{"network-instance":
			[{"name":"mgmt"},{"name":"default","vlans":` + vl + `}]}}`)),
		"the name of the path again": answer(
			jsonAt(`{"openconfig-interfaces:interface":[`+one+`]}`, ifs, eth1), jsonAt(`{"interface":[`+two+`]}`, ifs, eth2),
			jsonAt(`{"openconfig-interfaces:interfaces":{"interface":[`+lag+`]}}`, ifs),
			jsonAt(`{"openconfig-network-instance:vlans":`+vl+`}`, table...)),
		"a prefix, and several notifications": {Notification: []*pb.Notification{
			{Prefix: &pb.Path{Origin: "openconfig", Elem: []*pb.PathElem{ifs}}, Update: []*pb.Update{jsonAt(one, eth1)}},
			{Prefix: &pb.Path{Elem: []*pb.PathElem{ifs, eth2}}, Update: []*pb.Update{jsonAt(two)}},
			{Update: []*pb.Update{jsonAt(lag, e("openconfig-interfaces:interfaces"), po)}},
			{Update: []*pb.Update{jsonAt(vl, table...)}},
		}},
		"one leaf an update": answer(
			scalar(str("Ethernet1"), ifs, eth1, e("name")), scalar(str("one"), ifs, eth1, e("config"), e("description")),
			scalar(boolean(true), ifs, eth1, e("config"), e("enabled")),
			scalar(str("ACCESS"), ifs, eth1, e("ethernet"), e("switched-vlan"), e("config"), e("interface-mode")),
			scalar(num(10), ifs, eth1, e("ethernet"), e("switched-vlan"), e("config"), e("access-vlan")),
			scalar(str("Ethernet2"), ifs, eth2, e("config"), e("name")),
			scalar(str("Port-Channel1"), ifs, eth2, e("ethernet"), e("config"), e("openconfig-if-aggregate:aggregate-id")),
			scalar(boolean(false), ifs, po, e("config"), e("enabled")),
			jsonAt(`"TRUNK"`, ifs, po, e("aggregation"), e("switched-vlan"), e("config"), e("interface-mode")),
			scalar(&pb.TypedValue{Value: &pb.TypedValue_LeaflistVal{LeaflistVal: &pb.ScalarArray{Element: []*pb.TypedValue{num(10), num(20)}}}},
				ifs, po, e("aggregation"), e("openconfig-vlan:switched-vlan"), e("config"), e("trunk-vlans")),
			scalar(num(10), vlan("10", e("vlan-id"))...), scalar(str("ten"), vlan("10", e("config"), e("name"))...),
			scalar(str("twenty"), vlan("20", e("config"), e("name"))...), jsonAt(`"SUSPENDED"`, vlan("20", e("config"), e("status"))...)),
		"with nothing in between": answer(jsonAt(one, ifs, eth1), scalar(nil, ifs, e("interface", "name", "Ethernet9")), jsonAt(``, ifs),
			scalar(&pb.TypedValue{}, ifs, e("interface", "name", "Ethernet8")), jsonAt(`{}`, ifs, e("interface", "name", "Ethernet7")),
			jsonAt(`null`, ifs, e("interface", "name", "Ethernet6")), jsonAt(two, ifs, eth2), jsonAt(lag, ifs, po), jsonAt(vl, table...)),
		"interfaces that are no ports": answer(jsonAt(`{"interface":[`+one+`,`+two+`,`+lag+`,
			{"name":"Vlan10","config":{"name":"Vlan10","type":"iana-if-type:l3ipvlan"}},{"name":"Loopback0","config":{"name":"Loopback0"}},
			{"name":"Vxlan1","config":{"name":"Vxlan1"}},{"name":"odd name","config":{"name":"odd name"}}]}`, ifs), jsonAt(vl, table...)),
	} {
		t.Run(name, func(t *testing.T) {
			m := OpenConfig().model
			tree, err := decodeAnswer(m.listKeys(), response.Notification)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.decode(tree, nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, port := range got.Ports {
				port.Problem = ""
				got.Ports[name] = port
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMembersOutsideTheScopeAreKnownAndNotListedAsPorts(t *testing.T) {
	state, err := decodeJSONText(t, `{"interfaces":{"interface":[{"name":"Port-Channel1","config":{"name":"Port-Channel1"}},
		{"name":"Ethernet3","ethernet":{"config":{"aggregate-id":"Port-Channel1"}}},
		{"name":"Ethernet2","ethernet":{"config":{"aggregate-id":"Port-Channel1"}}}]}}`, []string{"Port-Channel1", "Ethernet9"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]switchdrivers.LAG{"Port-Channel1": {Members: []string{"Ethernet2", "Ethernet3"}}}, state.LAGs); diff != "" {
		t.Error(diff)
	}
	if _, ok := state.Ports["Port-Channel1"]; !ok || len(state.Ports) != 1 {
		t.Errorf("ports %v", state.Ports)
	}
}

func TestVLANsThatNobodyConfiguredAreNotInTheTable(t *testing.T) {
	state, err := decodeJSONText(t, `{"network-instances":{"network-instance":[{"name":"default","vlans":{"vlan":[
		{"vlan-id":1006,"state":{"vlan-id":1006,"status":"ACTIVE"}},{"vlan-id":10,"config":{"vlan-id":10},"state":{"vlan-id":10}}]}}]}}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := state.VLANs[10]; !ok || len(state.VLANs) != 1 {
		t.Errorf("VLANs %v", state.VLANs)
	}
}

func TestManagementPortsCannotBeBound(t *testing.T) {
	for _, name := range []string{"Management1", "Management1/1", "mgmt0", "fxp0", "em0", "Ma1"} {
		state, err := decodeJSONText(t, interfaceJSON(name, `"ethernet":{}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := state.Ports[name].Mode; got != switchdrivers.ModeRouted {
			t.Errorf("%s is %q", name, got)
		}
	}
}
