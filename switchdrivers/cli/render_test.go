package cli

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/switchbind/switchbind/switchdrivers"
)

func rendered(t *testing.T, dialect string, change switchdrivers.Change) []string {
	t.Helper()
	script, err := platform(t, dialect).Render(change)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range script {
		lines = append(lines, line.Text)
	}
	return lines
}

func to(port string, p switchdrivers.Port) switchdrivers.Change {
	return switchdrivers.Change{Ports: []switchdrivers.PortChange{{Name: port, To: p}}}
}

func TestRenderEOS(t *testing.T) {
	shutAccess := switchdrivers.Access(7)
	shutAccess.Enabled = false
	described := switchdrivers.Trunk(10, switchdrivers.VLANs(100, 200, 201))
	described.Description = "switchbind b16e net-a"
	for name, test := range map[string]struct {
		port switchdrivers.Port
		want []string
	}{
		"access": {switchdrivers.Access(110), []string{"interface Ethernet1", "switchport access vlan 110",
			"switchport mode access", "switchport", "no switchport trunk native vlan", "no switchport trunk allowed vlan", "no shutdown"}},
		"trunk": {described, []string{"interface Ethernet1", "description switchbind b16e net-a",
			"switchport trunk allowed vlan 10,100,200-201", "switchport trunk native vlan 10", "switchport mode trunk", "switchport",
			"no switchport access vlan", "no shutdown"}},
		"trunk of nothing": {switchdrivers.Trunk(0, switchdrivers.VLANSet{}), []string{"interface Ethernet1",
			"switchport trunk allowed vlan none", "switchport trunk native vlan tag", "switchport mode trunk", "switchport",
			"no switchport access vlan", "no shutdown"}},
		"idle": {switchdrivers.Idle(), []string{"interface Ethernet1", "shutdown", "switchport mode access",
			"switchport", "no switchport access vlan", "no switchport trunk native vlan", "no switchport trunk allowed vlan"}},
		"shut access": {shutAccess, []string{"interface Ethernet1", "shutdown", "switchport access vlan 7",
			"switchport mode access", "switchport", "no switchport trunk native vlan", "no switchport trunk allowed vlan"}},
	} {
		want := append([]string{"configure session switchbind"}, test.want...)
		want = append(want, "show session-config diffs", "show running-config", "commit")
		if diff := cmp.Diff(want, rendered(t, "arista_eos", to("Ethernet1", test.port))); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// A description that nobody wants to change is not sent again: an operator's own may have characters that we replace.
func TestDescriptionsOfOthersAreKept(t *testing.T) {
	const own = `rack 7, "left" #3 | é`
	for _, dialect := range []string{"arista_eos", "openvswitch"} {
		name, err := platform(t, dialect).PortName("eth1")
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			from, to string
			sent     bool
		}{{own, own, false}, {own, "net-a", true}, {own, "", true}, {"", "", false}} {
			change := to(name, switchdrivers.Access(5))
			change.Ports[0].From.Description, change.Ports[0].To.Description = test.from, test.to
			text := strings.Join(rendered(t, dialect, change), "\n")
			if strings.Contains(text, "description") != test.sent {
				t.Errorf("%s, from %q to %q:\n%s", dialect, test.from, test.to, text)
			}
		}
	}
}

func TestRenderVLANsAroundPorts(t *testing.T) {
	change := to("Ethernet1", switchdrivers.Access(110))
	change.VLANs = []switchdrivers.VLANChange{{ID: 110, To: &switchdrivers.VLAN{Name: "net a"}, Reason: "wanted"},
		{ID: 111, From: &switchdrivers.VLAN{Name: "x"}, To: &switchdrivers.VLAN{}}}
	change.Delete = []switchdrivers.VLANChange{{ID: 99, From: &switchdrivers.VLAN{}}}
	text := strings.Join(rendered(t, "arista_eos", change), "\n")
	created, port, deleted := strings.Index(text, "vlan 110\nname net_a\nvlan 111\nno name\n"), strings.Index(text, "interface"), strings.Index(text, "no vlan 99")
	if created < 0 || port < created || deleted < port {
		t.Errorf("wrong order:\n%s", text)
	}
	// Open vSwitch has no VLAN table: there is nothing to send.
	change.Ports = nil
	if lines := rendered(t, "openvswitch", change); len(lines) != 0 {
		t.Errorf("got %q", lines)
	}
}

// A complete list that is too long for a line is cut; the first piece replaces, the others add.
func TestLongVLANLists(t *testing.T) {
	var ids []switchdrivers.VLANID
	for id := switchdrivers.VLANID(2); id < 4000; id += 2 {
		ids = append(ids, id)
	}
	var got switchdrivers.VLANSet
	for i, line := range rendered(t, "arista_eos", to("Ethernet1", switchdrivers.Trunk(0, switchdrivers.VLANs(ids...)))) {
		if len(line) > 255 {
			t.Errorf("a line of %d characters", len(line))
		}
		list, isList := strings.CutPrefix(line, "switchport trunk allowed vlan ")
		if !isList {
			continue
		}
		list, adds := strings.CutPrefix(list, "add ")
		if adds == got.IsEmpty() {
			t.Errorf("line %d: %q", i, line)
		}
		piece, err := switchdrivers.ParseVLANSet(list)
		if err != nil {
			t.Fatal(err)
		}
		got = got.Union(piece)
	}
	if !got.Equal(switchdrivers.VLANs(ids...)) {
		t.Error("the pieces are not the whole")
	}
}

func TestRenderRefuses(t *testing.T) {
	member := to("Ethernet1", switchdrivers.Access(5))
	member.Ports[0].From.LAG = "Port-Channel1"
	for name, change := range map[string]switchdrivers.Change{
		"a LAG's member":         member,
		"no VLAN":                to("Ethernet1", switchdrivers.Port{Enabled: true, Mode: switchdrivers.ModeAccess}),
		"VLAN 4095":              to("Ethernet1", switchdrivers.Access(4095)),
		"enabled without a VLAN": to("Ethernet1", switchdrivers.Port{Enabled: true}),
		"routed":                 to("Ethernet1", switchdrivers.Port{Mode: switchdrivers.ModeRouted}),
		"a port's alias":         to("Et1", switchdrivers.Access(5)),
		"an injection":           to("Ethernet1\nreload", switchdrivers.Access(5)),
		"VLAN 0":                 {VLANs: []switchdrivers.VLANChange{{ID: 0, To: &switchdrivers.VLAN{}}}},
	} {
		script, err := platform(t, "arista_eos").Render(change)
		var unsupported *switchdrivers.UnsupportedError
		var name2 *switchdrivers.PortNameError
		if !errors.As(err, &unsupported) && !errors.As(err, &name2) || script != nil {
			t.Errorf("%s: %v, %v", name, script, err)
		}
	}
}

// Whatever an event brings, it adds no line and no word: names of VLANs and descriptions are the only free texts.
func TestNothingIsInjected(t *testing.T) {
	eos, ovs := platform(t, "arista_eos"), platform(t, "openvswitch")
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"a\nreload now", "a'; id > /tmp/x; '", "$(id)", "a\" trunks=[]", "a ! b", "what?",
			"\x03\x1a", "-- del-br br0", "a\\", "\u2028x", "日本語"}), rapid.StringN(0, 10_000, 40_000)).Draw(t, "text")
		port := switchdrivers.Access(5)
		harmless := port
		port.Description, harmless.Description = text, "harmless"
		change := func(port switchdrivers.Port, name string) switchdrivers.Change {
			c := to("Ethernet1", port)
			c.Ports[0].From.Description = "before" // so that there is a line for it
			c.VLANs = []switchdrivers.VLANChange{{ID: 5, To: &switchdrivers.VLAN{Name: name}}}
			return c
		}
		got, err := eos.Render(change(port, text))
		if err != nil {
			t.Fatal(err)
		}
		want, _ := eos.Render(change(harmless, "harmless"))
		keywords := func(s switchdrivers.Script) (all []string) {
			for _, line := range s {
				words := strings.Fields(line.Text)
				switch {
				case strings.HasSuffix(line.Text, "description") || strings.HasPrefix(line.Text, "description "), line.Text == "no name",
					strings.HasPrefix(line.Text, "name "):
					all = append(all, "free text")
				default:
					all = append(all, words...)
				}
				for _, r := range line.Text {
					if unicode.IsControl(r) || strings.ContainsRune("?!'\"`$\\", r) {
						t.Fatalf("%q in %q", r, line.Text)
					}
				}
			}
			return all
		}
		a, b := keywords(got), keywords(want)
		if eos.VLANName(text) == "" { // then there is no name line
			a = append(a, "free text")
		}
		if len(a) != len(b) {
			t.Fatalf("%q and %q", a, b)
		}

		c := change(port, text)
		c.Ports[0].Name = "eth1"
		script, err := ovs.Render(c)
		if err != nil {
			t.Fatal(err)
		}
		words := shellWords(t, script)
		for i, word := range words {
			if strings.Contains(word, "switchbind-description=") && words[i-1] != "trunks=[]" {
				t.Fatalf("%q", words)
			}
		}
		if n := len(words); n > 25 {
			t.Fatalf("%d words: %q", n, words)
		}
	})
}

// shellWords asks a real shell how it cuts a script into words.
func shellWords(t interface{ Fatal(...any) }, script switchdrivers.Script) []string {
	var lines []string
	for _, line := range script {
		lines = append(lines, line.Text)
	}
	command := "count() { printf '%s\\n' \"$@\"; }\n" + strings.Replace(strings.Join(lines, "\n"), "ovs-vsctl", "count", 1)
	out, err := exec.Command("sh", "-c", command).Output()
	if err != nil {
		t.Fatal(err, command)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func TestCleanIsIdempotent(t *testing.T) {
	for _, name := range []string{"arista_eos", "openvswitch"} {
		d := platform(t, name).dialect
		rapid.Check(t, func(t *rapid.T) {
			text := rapid.String().Draw(t, "text")
			for _, rule := range []*TextRule{&d.Descriptions, &d.VLANs.Name} {
				once := rule.clean(text)
				if rule.clean(once) != once || len([]rune(once)) > rule.Length {
					t.Fatalf("%q, %q", once, rule.clean(once))
				}
			}
		})
	}
}
