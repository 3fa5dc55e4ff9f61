package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchbind/switchbind/switchdrivers"
)

func TestPortNames(t *testing.T) {
	for dialect, names := range map[string]map[string]string{
		"arista_eos": {
			"Ethernet1": "Ethernet1", "Et1": "Ethernet1", "eth1": "Ethernet1", "ethernet 1": "Ethernet1", "e1": "Ethernet1", " Et1 ": "Ethernet1",
			"Ethernet3/1/2": "Ethernet3/1/2", "et3/1": "Ethernet3/1", "Po1": "Port-Channel1", "port-channel 12": "Port-Channel12",
			"Port-Channel100": "Port-Channel100", "portchannel7": "Port-Channel7",
			"": "", "1": "", "Ethernet": "", "Ethernet01": "", "Ethernet0": "", "Ethernet1/1/1/1": "", "Management1": "", "Vlan10": "",
			"Ethernet1\nno vlan 1": "", "Ethernet1;reload": "", "Ethernet1 ": "Ethernet1", "Ethernet1,2": "", "Ethernet1-4": "",
			"Ethernet1\x00": "", "P1": "", "Ethernet1 shutdown": "", "Ethernet1?": "",
		},
		"openvswitch": {
			"eth1": "eth1", "bond0": "bond0", "tap0123-ab": "tap0123-ab", "eth1.100": "eth1.100",
			"": "", "-eth1": "", "eth 1": "", "eth1;id": "", "eth1'": "", "$(id)": "", "eth1\n": "", "a/b": "",
			"0123456789012345678901234567890x": "",
		},
	} {
		p := platform(t, dialect)
		for text, want := range names {
			got, err := p.PortName(text)
			if got != want || (err == nil) != (want != "") {
				t.Errorf("%s: %q is %q (%v), wanted %q", dialect, text, got, err, want)
			}
		}
		if _, err := p.PortName(strings.Repeat("x", 10_000)); err == nil || len(err.Error()) > 1000 {
			t.Errorf("%s: a name of 10 kB: %v", dialect, err)
		}
	}
}

// A dialect file of the user's adds a dialect, or takes the place of a shipped one; a broken one is refused with the place.
func TestDialectFiles(t *testing.T) {
	shipped, err := shipped.ReadFile("dialects/arista_eos.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write := func(content string) string {
		file := filepath.Join(t.TempDir(), "own.yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	override := write(strings.Replace(string(shipped), "description: Arista EOS", "description: ours", 1))
	dialects, err := LoadDialects(override)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(dialects["arista_eos"].Description, "ours") || dialects["openvswitch"] == nil {
		t.Error("the file did not take the place of the shipped dialect")
	}
	if _, err := LoadDialects(override, override); err == nil {
		t.Error("two files may define one dialect")
	}
	added := write(strings.Replace(string(shipped), "name: arista_eos", "name: mine", 1))
	registry := switchdrivers.Registry{}
	if err := Register(registry, added); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mine", "arista_eos", "openvswitch"} {
		if _, err := registry.Find("ssh", name); err != nil {
			t.Error(err)
		}
	}
	for name, test := range map[string]struct{ old, with, says string }{
		"unknown key":          {"needs_save: true", "needs_saves: true", "needs_saves"},
		"bad expression":       {"end: '^end$'", "end: '^(end$'", "read.grammar"},
		"floating error text":  {"- '^% .'", "- '% .'", "begin with ^"},
		"bad template":         {"interface {{.Port}}", "interface {{.Port", "templates.port"},
		"bad style":            {"style: session", "style: hope", "style"},
		"port pattern":         {"{0,2}|Port-Channel", "{0,2}.*|Port-Channel", "ports"},
		"control characters":   {"@()\\[\\]-'", "@()\\[\\]\\n-'", "control"},
		"unknown meaning":      {"is: routed}", "is: rooted}", "rooted"},
		"prompt without host":  {"'HOST(", "'(", "HOST"},
		"not YAML":             {"style: session", "style: [", "own.yaml"},
		"wrong type":           {"pipeline: 3000", "pipeline: much", "pipeline"},
		"unknown parser":       {"parser: indented_config", "parser: guess", "parser"},
		"session with no name": {"name: switchbind", "name: ''", "candidate"},
	} {
		if !strings.Contains(string(shipped), test.old) {
			t.Fatalf("%s: the dialect does not hold %q", name, test.old)
		}
		_, err := LoadDialects(write(strings.Replace(string(shipped), test.old, test.with, 1)))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A template that names what is not there is an error, not an empty line.
func TestTemplateMistakesAreErrors(t *testing.T) {
	dialects, err := LoadDialects()
	if err != nil {
		t.Fatal(err)
	}
	d := *dialects["arista_eos"]
	d.Templates.Port = "interface {{.Prot}}"
	if err := d.parseTemplates(); err != nil {
		t.Fatal(err)
	}
	change := switchdrivers.Change{Ports: []switchdrivers.PortChange{{Name: "Ethernet1", To: switchdrivers.Access(5)}}}
	if _, err := d.render(change, "x"); err == nil || !strings.Contains(err.Error(), "Prot") {
		t.Errorf("got %v", err)
	}
}

func FuzzDialectFile(f *testing.F) {
	for _, name := range []string{"arista_eos", "openvswitch"} {
		content, err := shipped.ReadFile("dialects/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte("name: x\nsession: {channel: exec}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := decodeDialect("fuzz.yaml", content)
		if err != nil {
			return
		}
		_, _ = d.portName("Ethernet1")
		_ = NewPlatform(d).Traits()
		change := switchdrivers.Change{Ports: []switchdrivers.PortChange{{Name: d.Ports.Example, To: switchdrivers.Access(5)}}}
		_, _ = d.render(change, "x")
	})
}
