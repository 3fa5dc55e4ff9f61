package switchdrivers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func drawVLANs(t *rapid.T, label string) map[VLANID]bool {
	out := map[VLANID]bool{}
	for _, n := range rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 12), rapid.IntRange(4088, 4094), rapid.IntRange(1, 4094)), 0, 30).Draw(t, label) {
		out[VLANID(n)] = true
	}
	return out
}

// The set is kept as ranges; a map of single VLANs is what it must be like.
func TestVLANSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawVLANs(t, "a"), drawVLANs(t, "b")
		x, y := VLANs(slices.Collect(maps.Keys(a))...), VLANs(slices.Collect(maps.Keys(b))...)
		union, minus := maps.Clone(a), maps.Clone(a)
		maps.Copy(union, b)
		maps.DeleteFunc(minus, func(v VLANID, _ bool) bool { return b[v] })
		for name, c := range map[string]struct {
			got  VLANSet
			want map[VLANID]bool
		}{"a": {x, a}, "union": {x.Union(y), union}, "minus": {x.Minus(y), minus}} {
			members := slices.Collect(c.got.All())
			if !slices.Equal(members, slices.Sorted(maps.Keys(c.want))) || c.got.Len() != len(c.want) || c.got.IsEmpty() != (len(c.want) == 0) {
				t.Fatalf("%s is %s, want %v", name, c.got, c.want)
			}
			again, err := ParseVLANSet(c.got.String())
			if err != nil || !again.Equal(c.got) {
				t.Fatalf("%q reads back as %s, %v", c.got, again, err)
			}
			text, err := json.Marshal(c.got)
			var decoded VLANSet
			if err != nil || json.Unmarshal(text, &decoded) != nil || !decoded.Equal(c.got) {
				t.Fatalf("%s decodes to %s, %v", text, decoded, err)
			}
		}
		if x.Contains(5) != a[5] || x.Equal(y) != maps.Equal(a, b) {
			t.Fatalf("%s and %s: Contains or Equal is wrong", x, y)
		}
	})
}

func TestParseVLANSetRefuses(t *testing.T) {
	for _, text := range []string{"0", "4095", "1,", ",", "5-3", "1-4095", "-3", "ten", "1-2-3", "99999999999999999999", strings.Repeat("9", 10000)} {
		if got, err := ParseVLANSet(text); err == nil {
			t.Errorf("%.20q is read as %s", text, got)
		} else if len(err.Error()) > 200 {
			t.Errorf("the error about %.20q has %d characters", text, len(err.Error()))
		}
	}
	for text, want := range map[string]string{"": "", "none": "", "ALL": "1-4094", " 7 , 3 - 5 ,4": "3-5,7", "1,2,3": "1-3"} {
		if got, err := ParseVLANSet(text); err != nil || got.String() != want {
			t.Errorf("%q is read as %q, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzParseVLANSet(f *testing.F) {
	f.Add("1,5-7,4094")
	f.Add("5-3")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseVLANSet(text)
		if err != nil {
			return
		}
		again, err := ParseVLANSet(got.String())
		if err != nil || !again.Equal(got) {
			t.Fatalf("%q is %s, which reads back as %s, %v", text, got, again, err)
		}
	})
}

func FuzzParseMAC(f *testing.F) {
	for _, s := range []string{"52:54:00:00:00:01", "5254.0000.0001", "52-54-00-00-00-01", "525400000001", "52:54", "zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mac, err := ParseMAC(text)
		if err != nil {
			return
		}
		if again, err := ParseMAC(string(mac)); err != nil || again != mac || len(mac) != 17 {
			t.Fatalf("%q is %q, which reads back as %q, %v", text, mac, again, err)
		}
	})
}

func TestPortList(t *testing.T) {
	list := PortList{"Ethernet1-3", "Ethernet10", "ethernet-1/1"}
	for port, want := range map[string]bool{"Ethernet1": true, "Ethernet3": true, "Ethernet4": false, "Ethernet03": false, "Ethernet1/1": false,
		"Ethernet10": true, "Ethernet": false, "ethernet-1/1": true} {
		if got := list.Contains(port); got != want {
			t.Errorf("%s: %v, want %v", port, got, want)
		}
	}
	if got := list.Names(); !slices.Equal(got, []string{"Ethernet1", "Ethernet2", "Ethernet3", "Ethernet10", "ethernet-1/1"}) {
		t.Errorf("names: %v", got)
	}
	if !(PortList{"*"}).Contains("anything") {
		t.Error("* is every port")
	}
}

func TestDiff(t *testing.T) {
	from := State{
		VLANs: map[VLANID]VLAN{100: {Name: "a"}, 200: {Name: "b"}, 300: {Name: "c"}},
		Ports: map[string]Port{"Ethernet1": Access(100), "Ethernet2": Idle(), "Ethernet3": Access(300)},
	}
	to := State{
		VLANs: map[VLANID]VLAN{100: {Name: "renamed"}, 200: {}, 400: {Name: "d"}},
		Ports: map[string]Port{"Ethernet1": Access(100), "Ethernet2": Trunk(200, VLANs(400)), "Ethernet9": Access(400)},
	}
	want := Change{
		VLANs:  []VLANChange{{ID: 100, From: &VLAN{Name: "a"}, To: &VLAN{Name: "renamed"}}, {ID: 400, To: &VLAN{Name: "d"}}},
		Ports:  []PortChange{{Name: "Ethernet2", From: Idle(), To: Trunk(200, VLANs(400))}}, // nobody says what Ethernet3 is to be; there is no Ethernet9
		Delete: []VLANChange{{ID: 300, From: &VLAN{Name: "c"}}},
	}
	if diff := cmp.Diff(want, Diff(from, to)); diff != "" {
		t.Error(diff)
	}
	if c := Diff(from, from); !c.IsEmpty() {
		t.Errorf("equal states differ: %+v", c)
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	s := Secret("hunter2")
	text, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %s %q %#v", s, s, s, s, s), string(text)} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("shown as %s", shown)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Error("the secret is lost")
	}
}

func TestQuoteIsOneShortLine(t *testing.T) {
	got := Quote("\x1b[31mred\nline two " + strings.Repeat("x", 1000))
	if strings.ContainsAny(got, "\n\x1b") || len(got) > 220 {
		t.Errorf("quoted as %s", got)
	}
}
