package gnmi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/openconfig/gnmi/proto/gnmi"
	"pgregory.net/rapid"

	"github.com/switchbind/switchbind/switchdrivers"
)

// datastore is a target's configuration as nested objects: a list is an object whose members are called "[key=value]". It
// interprets a SetRequest by the specification (3.4) and shares no code with the package.
type datastore map[string]any

func memberOf(e *pb.PathElem) []string {
	names := []string{e.Name}
	for key, value := range e.Key {
		names = append(names, "["+key+"="+value+"]")
	}
	return names
}

func (d datastore) walk(p *pb.Path, create bool) (parent map[string]any, last string) {
	var names []string
	for _, e := range p.Elem {
		names = append(names, memberOf(e)...)
	}
	at := map[string]any(d)
	for _, name := range names[:len(names)-1] {
		next, ok := at[name].(map[string]any)
		if !ok {
			if !create {
				return nil, ""
			}
			next = map[string]any{}
			at[name] = next
		}
		at = next
	}
	return at, names[len(names)-1]
}

func unqualified(name string) string { return name[strings.Index(name, ":")+1:] }

func merge(into map[string]any, name string, value any) {
	object, ok := value.(map[string]any)
	if !ok {
		into[name] = value
		return
	}
	child, ok := into[name].(map[string]any)
	if !ok {
		child = map[string]any{}
		into[name] = child
	}
	for k, v := range object {
		merge(child, unqualified(k), v)
	}
}

func (d datastore) apply(r *pb.SetRequest) error {
	for _, p := range r.Delete {
		if parent, last := d.walk(p, false); parent != nil {
			delete(parent, last)
		}
	}
	for _, u := range r.Replace {
		parent, last := d.walk(u.Path, true)
		delete(parent, last)
		var v any
		if err := json.Unmarshal(u.Val.GetJsonIetfVal(), &v); err != nil {
			return err
		}
		merge(parent, last, v)
	}
	for _, u := range r.Update {
		var v any
		if err := json.Unmarshal(u.Val.GetJsonIetfVal(), &v); err != nil {
			return err
		}
		parent, last := d.walk(u.Path, true)
		merge(parent, last, v)
	}
	return nil
}

// updates tells the configuration, cut into pieces wherever choose says so: a whole subtree, or each member by itself.
func updates(t *rapid.T, at []*pb.PathElem, value any) []*pb.Update {
	object, isObject := value.(map[string]any)
	if !isObject || (!hasLists(object) && rapid.Bool().Draw(t, "whole")) {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return []*pb.Update{jsonAt(string(text), at...)}
	}
	var all []*pb.Update
	for _, name := range slices.Sorted(maps.Keys(object)) {
		path := slices.Clone(at)
		if key, value, isEntry := strings.Cut(strings.Trim(name, "[]"), "="); isEntry {
			list := path[len(path)-1]
			path[len(path)-1] = e(list.Name, key, value)
		} else {
			path = append(path, e(name))
		}
		all = append(all, updates(t, path, object[name])...)
	}
	return all
}

func hasLists(object map[string]any) bool {
	for name, value := range object {
		if strings.HasPrefix(name, "[") {
			return true
		}
		if inner, ok := value.(map[string]any); ok && hasLists(inner) {
			return true
		}
	}
	return false
}

func anyVLANSet(t *rapid.T) switchdrivers.VLANSet {
	var set switchdrivers.VLANSet
	for range rapid.IntRange(1, 4).Draw(t, "ranges") {
		lo := rapid.IntRange(2, 4094).Draw(t, "lo")
		hi := min(4094, lo+rapid.SampledFrom([]int{0, 0, 1, 2, 50}).Draw(t, "more"))
		set = set.Union(vlans(strconv.Itoa(lo) + "-" + strconv.Itoa(hi)))
	}
	return set
}

func anyVLAN(t *rapid.T) switchdrivers.VLANID {
	return switchdrivers.VLANID(rapid.IntRange(2, 4094).Draw(t, "vlan"))
}

func anyPort(t *rapid.T) switchdrivers.Port {
	var port switchdrivers.Port
	switch rapid.IntRange(0, 3).Draw(t, "mode") {
	case 0:
		port = switchdrivers.Idle()
	case 1:
		port = switchdrivers.Access(anyVLAN(t))
		port.Enabled = rapid.Bool().Draw(t, "enabled")
	case 2:
		port = switchdrivers.Trunk(anyVLAN(t), anyVLANSet(t))
		port.Enabled = rapid.Bool().Draw(t, "enabled")
	case 3:
		port = switchdrivers.Trunk(0, anyVLANSet(t))
	}
	port.Description = rapid.SampledFrom([]string{"", "switchbind a", `"quoted" \ <&> ]=/`, "ünïcode\ttab"}).Draw(t, "description")
	return port
}

func anyState(t *rapid.T, ports []string) switchdrivers.State {
	state := switchdrivers.State{VLANs: map[switchdrivers.VLANID]switchdrivers.VLAN{}, Ports: map[string]switchdrivers.Port{}}
	for _, name := range ports {
		state.Ports[name] = anyPort(t)
		for id := range state.Ports[name].VLANs().All() {
			state.VLANs[id] = switchdrivers.VLAN{Name: rapid.SampledFrom([]string{"", "a", "tenant-b"}).Draw(t, "name")}
		}
	}
	return state
}

// Whatever a switch was and whatever it is to be: the one SetRequest makes it so, nothing of what was is left, and it reads
// back as exactly what was asked for, however the target cuts up its answer.
func TestAnyChangeReadsBackAsWhatWasAskedFor(t *testing.T) {
	ports := []string{"Ethernet1", "Ethernet2/1", "Port-Channel1"}
	platform := OpenConfig()
	read := func(t *rapid.T, store datastore) switchdrivers.State {
		tree, err := decodeAnswer(platform.model.listKeys(), answer(updates(t, nil, map[string]any(store))...).Notification)
		if err != nil {
			t.Fatal(err)
		}
		state, err := platform.model.decode(tree, nil)
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	rapid.Check(t, func(t *rapid.T) {
		store := datastore{}
		for _, name := range ports { // an unconfigured switch, disabled ports
			merge(store, "interfaces", map[string]any{"interface": map[string]any{"[name=" + name + "]": map[string]any{
				"name": name, "config": map[string]any{"name": name, "enabled": false}}}})
		}
		for round := range 3 {
			want, have := anyState(t, ports), read(t, store)
			ops, err := platform.operations("leaf1", switchdrivers.Diff(have, want))
			if err != nil {
				t.Fatal(err)
			}
			if err := store.apply(setRequest(ops, pb.Encoding_JSON_IETF)); err != nil {
				t.Fatal(err)
			}
			got := read(t, store)
			for name := range want.Ports {
				if !got.Ports[name].Equal(want.Ports[name]) {
					t.Fatalf("round %d, port %s: was %+v, wanted %+v, got %+v", round, name, have.Ports[name], want.Ports[name], got.Ports[name])
				}
				if got.Ports[name].Problem != "" {
					t.Fatalf("port %s: %s", name, got.Ports[name].Problem)
				}
			}
			if again := switchdrivers.Diff(got, want); !again.IsEmpty() {
				t.Fatalf("the same change again is not empty: %+v", again)
			}
		}
	})
}

// What is sent is what is shown, operation by operation, in both encodings.
func TestApplySendsWhatRenderShows(t *testing.T) {
	for _, encoding := range []pb.Encoding{pb.Encoding_JSON_IETF, pb.Encoding_JSON} {
		t.Run(encoding.String(), func(t *testing.T) {
			target := &fakeTarget{encodings: []pb.Encoding{encoding}}
			driver := open(t, plain(target.serve(t)))
			if err := driver.Apply(t.Context(), everything()); err != nil {
				t.Fatal(err)
			}
			script, err := OpenConfig().Render(everything())
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, line := range script {
				want = append(want, line.Text)
			}
			got := described(t, target.sets[0], encoding)
			if encoding == pb.Encoding_JSON {
				for i := range want {
					want[i] = sorted(t, strings.NewReplacer("openconfig-vlan:", "", "openconfig-network-instance:", "").Replace(want[i]))
					got[i] = sorted(t, got[i])
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if _, _, sets := target.counts(); sets != 1 {
				t.Errorf("%d Sets for one change", sets)
			}
		})
	}
}

// described writes a SetRequest down by the protobuf message alone.
func described(t *testing.T, r *pb.SetRequest, encoding pb.Encoding) []string {
	t.Helper()
	var out []string
	line := func(verb string, p *pb.Path, v *pb.TypedValue) {
		text := verb + " "
		if p.Origin != "openconfig" {
			t.Errorf("origin %q", p.Origin)
		}
		for _, elem := range p.Elem {
			text += "/" + elem.Name
			for key, value := range elem.Key {
				text += fmt.Sprintf("[%s=%s]", key, value)
			}
		}
		switch {
		case v == nil:
		case encoding == pb.Encoding_JSON:
			text += " " + string(v.GetJsonVal())
		default:
			text += " " + string(v.GetJsonIetfVal())
		}
		out = append(out, text)
	}
	for _, p := range r.Delete {
		line("delete", p, nil)
	}
	for _, u := range r.Replace {
		line("replace", u.Path, u.Val)
	}
	for _, u := range r.Update {
		line("update", u.Path, u.Val)
	}
	return out
}

// sorted brings the members of a line's JSON into one order.
func sorted(t *testing.T, line string) string {
	t.Helper()
	parts := strings.SplitN(line, " ", 3)
	if len(parts) < 3 {
		return line
	}
	var v any
	if err := json.Unmarshal([]byte(parts[2]), &v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return parts[0] + " " + parts[1] + " " + string(text)
}

// FuzzDecode feeds the decoder what no target should send: it must give a state or an error.
func FuzzDecode(f *testing.F) {
	f.Add("interfaces", "interface", "name", "Ethernet1", []byte(`{"config":{"enabled":true},"ethernet":{"switched-vlan":{"config":{"interface-mode":"ACCESS","access-vlan":10}}}}`))
	f.Add("interfaces", "", "", "", []byte(`{"openconfig-interfaces:interface":[{"name":"Ethernet1","config":{"type":"iana-if-type:ethernetCsmacd"}}]}`))
	f.Add("interfaces", "interface", "", "", []byte(`[{"name":1},{"name":true}]`))
	f.Add("interfaces", "interface", "id", "x", []byte(`{"interface":[]}`))
	f.Add("network-instances", "network-instance", "name", "default", []byte(`{"vlans":{"vlan":[{"vlan-id":"10","config":{"name":["x"]}}]}}`))
	f.Add("", "", "", "", []byte(`{"interfaces":{"interface":{"name":"Ethernet1","ethernet":{"switched-vlan":{"config":{"trunk-vlans":"1..4094"}}}}}}`))
	f.Add("interfaces", "interface", "name", "Ethernet1", []byte(`{"config":5,"ethernet":{"config":{"aggregate-id":{}}}}`))
	f.Fuzz(func(t *testing.T, first, second, key, value string, text []byte) {
		var elems []*pb.PathElem
		if first != "" {
			elems = append(elems, e(first))
		}
		if second != "" {
			elem := e(second)
			if key != "" {
				elem.Key = map[string]string{key: value}
			}
			elems = append(elems, elem)
		}
		for _, val := range []*pb.TypedValue{
			{Value: &pb.TypedValue_JsonIetfVal{JsonIetfVal: text}}, {Value: &pb.TypedValue_JsonVal{JsonVal: text}},
			{Value: &pb.TypedValue_StringVal{StringVal: string(text)}}, {Value: &pb.TypedValue_BytesVal{BytesVal: text}},
		} {
			m := OpenConfig().model
			tree, err := decodeAnswer(m.listKeys(), []*pb.Notification{{Update: []*pb.Update{{Path: &pb.Path{Elem: elems}, Val: val}}}})
			if err != nil {
				continue
			}
			state, err := m.decode(tree, nil)
			if err != nil {
				continue
			}
			for name, port := range state.Ports {
				if _, err := m.portName(name); err != nil {
					t.Errorf("the port %q has a name that nobody may use", name)
				}
				for id := range port.VLANs().All() {
					if !id.Valid() {
						t.Errorf("VLAN %d", id)
					}
				}
				if port.NativeVLAN != 0 && port.TaggedVLANs.Contains(port.NativeVLAN) {
					t.Errorf("%q: native and tagged", name)
				}
			}
		}
	})
}
