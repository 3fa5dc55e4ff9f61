package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

const (
	portA   = "b16e0dcd-67e8-4442-9a66-4d1692f5846f"
	portB   = "aff2e8a3-7f2f-4daa-82eb-ef90329316fe"
	neutron = "neutron-RegionOne"
)

// exampleBinding is a binding with every field that the contract has.
const exampleBinding = `{ "specversion": "1.0", "type": "switchbind.binding.v1", "source": "neutron-RegionOne",
  "id": "0f6c0000-0000-4000-8000-000000000001", "subject": "b16e0dcd-67e8-4442-9a66-4d1692f5846f", "time": "2026-11-22T07:53:39Z",
  "datacontenttype": "application/json",
  "data": {
    "port_id": "b16e0dcd-67e8-4442-9a66-4d1692f5846f", "revision_number": 3, "digest": "86958901b14549f3", "state": "present",
    "vnic_type": "baremetal", "mac_address": "fa:16:3e:e2:c4:0f", "admin_state_up": true, "mtu": 1500,
    "hosts": [ { "host_id": "node-uuid-1", "status": "active" } ], "project_id": "p", "device_id": "d",
    "network": { "id": "d6b9ffd7-f41e-4080-98dd-28fd17cb524d", "name": "tenant-a" },
    "segments": [ { "id": "8e9e457b", "network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 110 } ],
    "binding_profile": {
      "local_link_information": [ { "switch_id": "52:54:00:00:00:01", "switch_info": "leaf1", "port_id": "Ethernet1" } ],
      "local_group_information": {"bond_properties": {"bond_miimon": 100}} , "capabilities": ["x"] },
    "trunk": { "id": "t", "sub_ports": [ { "port_id": "aff2e8a3-7f2f-4daa-82eb-ef90329316fe", "segmentation_id": 201,
        "network": {"id": "n2"},
        "segments": [ { "network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 201 } ] } ] }
  } }`

func TestTheContractsExampleIsRead(t *testing.T) {
	e, err := decodeBinding(neutron, portA, []byte(exampleBinding))
	if err != nil {
		t.Fatal(err)
	}
	up := true
	want := portbinding.Binding{
		PortID: portA, Revision: 3, Digest: "86958901b14549f3", State: portbinding.Present, VNICType: "baremetal",
		MAC: "fa:16:3e:e2:c4:0f", AdminStateUp: &up, MTU: 1500, Hosts: []portbinding.Host{{ID: "node-uuid-1", Status: "active"}},
		ProjectID: "p", DeviceID: "d", Network: portbinding.Network{ID: "d6b9ffd7-f41e-4080-98dd-28fd17cb524d", Name: "tenant-a"},
		Segments: []portbinding.Segment{{ID: "8e9e457b", NetworkType: "vlan", PhysicalNetwork: "physnet1", SegmentationID: 110}},
		Profile: portbinding.Profile{
			Links: []portbinding.LocalLink{{SwitchID: "52:54:00:00:00:01", SwitchInfo: "leaf1", PortID: "Ethernet1"}},
			Group: portbinding.LinkGroup{BondProperties: map[string]any{"bond_miimon": 100.0}},
		},
		Trunk: &portbinding.Trunk{ID: "t", SubPorts: []portbinding.SubPort{{PortID: portB, SegmentationID: 201,
			Network: portbinding.Network{ID: "n2"}, Segments: []portbinding.Segment{{NetworkType: "vlan", PhysicalNetwork: "physnet1", SegmentationID: 201}}}}},
	}
	if diff := cmp.Diff(want, e.Binding); diff != "" {
		t.Error(diff)
	}
}

// edit returns the example with the value at a path replaced; nil as value removes it.
func edit(t *testing.T, value any, path ...string) []byte {
	t.Helper()
	var message map[string]any
	if err := json.Unmarshal([]byte(exampleBinding), &message); err != nil {
		t.Fatal(err)
	}
	var at any = message
	for _, name := range path[:len(path)-1] {
		switch v := at.(type) {
		case map[string]any:
			at = v[name]
		case []any:
			at = v[0] // every list of the example has one element
		}
	}
	if value == nil {
		delete(at.(map[string]any), path[len(path)-1])
	} else {
		at.(map[string]any)[path[len(path)-1]] = value
	}
	text, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAFaultIsNamedByItsPointer(t *testing.T) {
	data := func(path ...string) []string { return append([]string{"data"}, path...) }
	segment := data("segments", "0")
	link := data("binding_profile", "local_link_information", "0")
	sub := data("trunk", "sub_ports", "0")
	at := func(base []string, name string) []string { return append(slices.Clone(base), name) }
	for name, c := range map[string]struct {
		value any
		path  []string
		also  string // part of the sentence
	}{
		"no port id":                 {nil, data("port_id"), "missing"},
		"a port id that is no UUID":  {"port-1", data("port_id"), "UUID"},
		"an upper-case UUID":         {strings.ToUpper(portA), data("port_id"), "lower case"},
		"no revision":                {nil, data("revision_number"), "missing"},
		"a revision in a string":     {"3", data("revision_number"), "must be an integer"},
		"a broken revision":          {3.5, data("revision_number"), "must be an integer"},
		"a revision below zero":      {-1, data("revision_number"), "at least 0"},
		"an endless revision":        {1e30, data("revision_number"), "at most 9223372036854775807"},
		"an unknown state":           {"gone", data("state"), `"present", "absent", "deleted"`},
		"no vnic type":               {nil, data("vnic_type"), "missing"},
		"no network":                 {nil, data("network"), "missing"},
		"no segments":                {nil, data("segments"), "missing"},
		"segments empty":             {[]any{}, data("segments"), "at least 1"},
		"no profile":                 {nil, data("binding_profile"), "missing"},
		"a profile in a string":      {"{}", data("binding_profile"), "must be an object"},
		"links in a string":          {"Ethernet1", data("binding_profile", "local_link_information"), "must be an array"},
		"links an object":            {map[string]any{}, data("binding_profile", "local_link_information"), "must be an array"},
		"no links":                   {nil, data("binding_profile", "local_link_information"), "missing"},
		"too many links":             {slices.Repeat([]any{map[string]any{"switch_info": "a", "port_id": "b"}}, 65), data("binding_profile", "local_link_information"), "at most 64"},
		"VLAN 0":                     {0, at(segment, "segmentation_id"), "at least 1"},
		"VLAN 4095":                  {4095, at(segment, "segmentation_id"), "at most 4094"},
		"a VLAN in a string":         {"110", at(segment, "segmentation_id"), "an integer"},
		"no VLAN":                    {nil, at(segment, "segmentation_id"), "missing"},
		"no physical network":        {nil, at(segment, "physical_network"), "missing"},
		"no link port":               {nil, at(link, "port_id"), "missing"},
		"an empty link port":         {"", at(link, "port_id"), "at least 1"},
		"a link port of 10 kB":       {strings.Repeat("E", 10000), at(link, "port_id"), "at most 255"},
		"a newline in a link port":   {"Ethernet1\nno shutdown", at(link, "port_id"), "control characters"},
		"an escape in a switch name": {"leaf\x1b[2J", at(link, "switch_info"), "control characters"},
		"subport tag 0":              {0, at(sub, "segmentation_id"), "at least 1"},
		"subport without segments":   {nil, at(sub, "segments"), "missing"},
		"subport without UUID":       {"x", at(sub, "port_id"), "UUID"},
		"admin state in a string":    {"true", data("admin_state_up"), "a boolean"},
		"no data":                    {nil, []string{"data"}, "missing"},
		"another version":            {"0.3", []string{"specversion"}, `must be "1.0"`},
		"another type":               {"switchbind.binding.v2", []string{"type"}, "switchbind.binding.v1"},
		"a source with a dot":        {"neutron.RegionOne", []string{"source"}, "one NATS token"},
		"somebody else's source":     {"neutron-RegionTwo", []string{"source"}, "source in the subject"},
		"another subject":            {portB, []string{"subject"}, "data.port_id"},
		"no id":                      {nil, []string{"id"}, "missing"},
		"no time at all":             {"yesterday", []string{"time"}, "date-time"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeBinding(neutron, portA, edit(t, c.value, c.path...))
			var invalid *portbinding.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("error is %v, want an InvalidError", err)
			}
			if want := "/" + strings.Join(c.path, "/"); invalid.Pointer != want || !strings.Contains(invalid.Problem, c.also) {
				t.Errorf("got %s: %s\nwant %s: ...%s...", invalid.Pointer, invalid.Problem, want, c.also)
			}
		})
	}
}

func TestWhatIsNotWrong(t *testing.T) {
	for name, text := range map[string][]byte{
		"unknown fields":         edit(t, map[string]any{"anything": []any{1, nil}}, "data", "new_in_v1_3"),
		"unknown in the profile": edit(t, []any{nil, "x"}, "data", "binding_profile", "pci_slot"),
		"an unknown envelope":    edit(t, "x", "traceparent"),
		"110.0":                  []byte(strings.Replace(exampleBinding, `"segmentation_id": 110`, `"segmentation_id": 110.0`, 1)),
		"no time":                edit(t, nil, "time"),
		"no admin state":         edit(t, nil, "data", "admin_state_up"),
		"no trunk":               edit(t, nil, "data", "trunk"),
		"a VM's port, unbound":   edit(t, "normal", "data", "vnic_type"),
		"semicolons and quotes":  edit(t, `Ethernet0; id > "x"`, "data", "binding_profile", "local_link_information", "0", "port_id"),
		"vxlan above vlan": edit(t, []any{
			map[string]any{"network_type": "vxlan", "physical_network": json.RawMessage("null"), "segmentation_id": 16777215},
			map[string]any{"network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 1}}, "data", "segments"),
		"flat": edit(t, []any{map[string]any{"network_type": "flat", "physical_network": "p", "segmentation_id": json.RawMessage("null")}},
			"data", "segments"),
	} {
		if _, err := decodeBinding(neutron, portA, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, state := range []string{"absent", "deleted"} {
		text := fmt.Sprintf(`{"specversion":"1.0","type":"switchbind.binding.v1","source":"s","id":"i","subject":"%s",
			"data":{"port_id":"%s","revision_number":4,"state":"%s"}}`, portA, portA, state)
		if _, err := decodeBinding("s", portA, []byte(text)); err != nil {
			t.Errorf("%s: %v", state, err)
		}
	}
}

// Go's decoder would take "PORT_ID" for "port_id", after the schema has looked at the right one.
func TestNamesMatchExactly(t *testing.T) {
	text := strings.Replace(exampleBinding, `"state": "present"`, `"state": "present", "PORT_ID": "evil", "Segments": []`, 1)
	e, err := decodeBinding(neutron, portA, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if e.Binding.PortID != portA || len(e.Binding.Segments) != 1 {
		t.Errorf("read %+v", e.Binding)
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	_, err := decodeBinding(neutron, portA, edit(t, strings.Repeat("x", MaxMessageBytes), "data", "binding_profile", "free"))
	var invalid *portbinding.InvalidError
	if !errors.As(err, &invalid) || !strings.Contains(invalid.Problem, "at most 262144") {
		t.Errorf("error is %v", err)
	}
}

// The same message gets the same answer every time, though the validator walks maps in random order.
func TestTheFirstFaultIsAlwaysTheSame(t *testing.T) {
	text := []byte(`{"specversion":1,"type":2,"source":3,"id":4,"subject":5,"data":{"port_id":6,"state":7}}`)
	_, first := decodeBinding(neutron, portA, text)
	for range 50 {
		if _, err := decodeBinding(neutron, portA, text); err.Error() != first.Error() {
			t.Fatalf("%v\nand then\n%v", first, err)
		}
	}
	if !strings.Contains(first.Error(), "more faults") {
		t.Errorf("%v does not say how many more there are", first)
	}
}

func TestEveryMessageWeSendIsValid(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 0, 0, 123, time.UTC)
	port := switchdrivers.Trunk(10, switchdrivers.VLANs(100, 101, 102, 300))
	o := &outbox{subjects: subjects{DefaultPrefix}, instance: "switchbind"}
	check := func(what, schema string, text []byte) {
		t.Helper()
		parsed, err := parseStrict(text)
		if err == nil {
			err = validate(schema, parsed)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", what, err, text)
		}
	}
	for reason := range portbinding.Reasons {
		m, err := o.resultMessage(portbinding.Result{PortID: portA, Revision: 3, Digest: "d", Status: portbinding.StatusFailed, Reason: reason,
			Message: "words \xff of a switch", VerifiedAt: &at, Source: neutron, SubPorts: []portbinding.SubPortResult{{PortID: portB, Status: "bound"}},
			Links: []portbinding.LinkResult{{Switch: "leaf1", Port: "Ethernet1", Status: portbinding.StatusBound, Reason: reason, Observed: &port}}})
		if err != nil {
			t.Fatal(err)
		}
		check("result "+string(reason), SchemaResult, m.Data)
	}
	m, err := o.resultMessage(portbinding.Result{PortID: portA, Status: portbinding.StatusReleased, Source: neutron})
	if err != nil {
		t.Fatal(err)
	}
	check("a result without anything", SchemaResult, m.Data)

	drift, err := encodeEvent(TypeDrift, "switchbind", "i", "leaf1", at, portbinding.Drift{Switch: "leaf1", Found: at, Repaired: true,
		Ports: []portbinding.PortDrift{{Port: "Ethernet1", PortID: portA, Desired: port, Actual: switchdrivers.Idle()}}})
	if err != nil {
		t.Fatal(err)
	}
	check("drift", SchemaDrift, drift)
	request, err := encodeEvent(TypeSnapshotRequest, "switchbind", "i", neutron, at, map[string]string{"reason": "start"})
	if err != nil {
		t.Fatal(err)
	}
	check("snapshot request", SchemaSnapshotRequest, request)

	e, err := decodeBinding(neutron, portA, []byte(exampleBinding))
	if err != nil {
		t.Fatal(err)
	}
	manual, err := encodeEvent(TypeBinding, "cli-anna", "i", portA, at, e.Binding)
	if err != nil {
		t.Fatal(err)
	}
	check("binding", SchemaBinding, manual)
	if back, err := decodeBinding("cli-anna", portA, manual); err != nil || cmp.Diff(e.Binding, back.Binding) != "" {
		t.Errorf("a binding does not survive being sent: %v %s", err, cmp.Diff(e.Binding, back.Binding))
	}
}

func TestTheReasonsOfTheSchemaAreThoseOfTheCode(t *testing.T) {
	var schema struct {
		Defs struct {
			Reason struct {
				Enum []string `json:"enum"`
			} `json:"reason"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schemas()[SchemaResult], &schema); err != nil {
		t.Fatal(err)
	}
	want := []string{""}
	for reason := range portbinding.Reasons {
		want = append(want, string(reason))
	}
	slices.Sort(want)
	got := slices.Sorted(slices.Values(schema.Defs.Reason.Enum))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEverySchemaHasANameAndADescription(t *testing.T) {
	want := []string{SchemaBinding, SchemaDeadLetter, SchemaDrift, SchemaResult, SchemaSnapshot, SchemaSnapshotRequest}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(Schemas()))); diff != "" {
		t.Error(diff)
	}
	for name, text := range Schemas() {
		var s struct{ Title, Description string }
		if err := json.Unmarshal(text, &s); err != nil || s.Title == "" || s.Description == "" {
			t.Errorf("%s: %v %+v", name, err, s)
		}
	}
}

func FuzzDecodeBinding(f *testing.F) {
	f.Add([]byte(exampleBinding))
	f.Add([]byte(`{"specversion":"1.0","type":"switchbind.binding.v1","source":"neutron-RegionOne","id":"i","subject":"` + portA +
		`","data":{"port_id":"` + portA + `","revision_number":4,"state":"absent"}}`))
	f.Add([]byte(`{"a":1e400}`))
	f.Add([]byte(`[[[[[[`))
	f.Add([]byte("\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := decodeBinding(neutron, portA, text)
		if err != nil {
			var invalid *portbinding.InvalidError
			if !errors.As(err, &invalid) || invalid.Problem == "" {
				t.Errorf("%T %v", err, err)
			}
			if strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
				t.Errorf("the error is not fit for a log: %q", err)
			}
			return
		}
		if e.Binding.PortID != portA || e.Source != neutron {
			t.Errorf("took %+v", e)
		}
		again, err := encodeEvent(TypeBinding, e.Source, e.ID, e.Subject, time.Now(), e.Binding)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > MaxMessageBytes {
			return
		}
		if back, err := decodeBinding(neutron, portA, again); err != nil || cmp.Diff(back.Binding, e.Binding) != "" {
			t.Errorf("does not survive: %v %s", err, cmp.Diff(back.Binding, e.Binding))
		}
	})
}

func FuzzDecodeSnapshotPart(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","type":"switchbind.snapshot.v1","source":"neutron-RegionOne","id":"i","subject":"s1",
		"data":{"snapshot_id":"s1","phase":"end","pages":1,"count":2}}`))
	f.Add([]byte(`{"specversion":"1.0","type":"switchbind.snapshot.v1","source":"neutron-RegionOne","id":"i","subject":"s1",
		"data":{"snapshot_id":"s1","phase":"page","page":1,"bindings":[{"port_id":"` + portA + `","revision_number":1,"state":"absent"}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		part, err := decodePart(neutron, "s1", text)
		var invalid *portbinding.InvalidError
		if err != nil && !errors.As(err, &invalid) {
			t.Errorf("%T %v", err, err)
		}
		if err == nil && (part.ID != "s1" || part.source != neutron) {
			t.Errorf("took %+v", part)
		}
	})
}

func BenchmarkDecodeBinding(b *testing.B) {
	for b.Loop() {
		if _, err := decodeBinding(neutron, portA, []byte(exampleBinding)); err != nil {
			b.Fatal(err)
		}
	}
}
