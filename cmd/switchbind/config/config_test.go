package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchbind/switchbind/switchdrivers"
)

// one is a valid file with one switch, to which a test adds lines of its own under leaf1.
func one(more ...string) string {
	text := `switches:
  leaf1:
    address: 192.0.2.11
    driver: ssh
    dialect: arista_eos
    credentials: {username: sb, key_file: id}
    host_key: {known_hosts: kh}
    physical_networks: [physnet1]
`
	for _, line := range more {
		text += "    " + line + "\n"
	}
	return text
}

func TestDefaultsAreFilledIn(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "")
	c, err := Parse("/etc/switchbind/config.yaml", []byte(one()))
	if err != nil {
		t.Fatal(err)
	}
	want := switchdrivers.Switch{
		Name: "leaf1", Address: "192.0.2.11", Driver: "ssh", Dialect: "arista_eos",
		Credentials:      switchdrivers.Credentials{Username: "sb", KeyFile: "/etc/switchbind/id"},
		HostKey:          switchdrivers.HostKey{KnownHosts: "/etc/switchbind/kh"},
		TLS:              switchdrivers.TLS{MinVersion: "1.2"},
		PhysicalNetworks: []string{"physnet1"},
		ManageVLANs:      true, VLANNameFormat: "net-{network_id}", Descriptions: true,
		Unexplained: "quarantine", Drift: "repair",
		Save: switchdrivers.SavePolicy{After: 10 * time.Second},
		Timeouts: switchdrivers.Timeouts{Connect: 10 * time.Second, Command: 15 * time.Second, Commit: time.Minute,
			Idle: 5 * time.Minute, Poll: 5 * time.Minute},
	}
	if diff := cmp.Diff([]switchdrivers.Switch{want}, c.Switches); diff != "" {
		t.Error(diff)
	}
	if c.Switches[0].Idle.Port().Enabled {
		t.Error("the default idle state must be shut down")
	}
	if c.NATS.URL != "" || c.NATS.Prefix != "switchbind" || c.Embedded.Listen != "127.0.0.1:4222" ||
		c.Embedded.DataDir != "/etc/switchbind/switchbind-data" || c.Log.Level != "info" {
		t.Errorf("defaults: %+v %+v %+v", c.NATS, c.Embedded, c.Log)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings about a sound configuration: %q", c.Warnings)
	}
	if p := c.Where("leaf1"); p != (Position{"/etc/switchbind/config.yaml", 2, 3}) {
		t.Errorf("Where: %+v", p)
	}
}

func TestStateDirectoryOfSystemd(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "/var/lib/switchbind:/var/lib/other")
	c, err := Parse("c.yaml", []byte(one()))
	if err != nil {
		t.Fatal(err)
	}
	if c.Embedded.DataDir != "/var/lib/switchbind" {
		t.Errorf("data_dir is %s", c.Embedded.DataDir)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("/c/full.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	leaf1, leaf2, spine1 := c.Switches[0], c.Switches[1], c.Switches[2]
	check := func(what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmp.Comparer(switchdrivers.VLANSet.Equal)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	check("nats", c.NATS, NATS{URL: "tls://nats1.example.com:4222,tls://nats2.example.com:4222", Prefix: "dc1.switchbind",
		User: "switchbind", PasswordFile: "/etc/switchbind/nats-password", TLS: NATSTLS{CA: "/etc/switchbind/ca.pem",
			Cert: "/etc/switchbind/cert.pem", Key: "/etc/switchbind/key.pem", ServerName: "nats", MinVersion: "1.3"}})
	check("embedded", c.Embedded, Embedded{Listen: "[::1]:4222", DataDir: "/var/lib/switchbind"})
	check("snapshot", c.Snapshot, Snapshot{20, 0.1, []string{"neutron-RegionOne"}})
	check("dialects", c.Dialects, []string{"/c/dialects/our_nos.yaml"})
	check("switch_id", leaf1.SwitchIDs, []switchdrivers.MAC{"52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"})
	check("protected_ports", leaf1.ProtectedPorts, switchdrivers.PortList{"Management1"})
	check("uplinks from the defaults", leaf1.Uplinks, switchdrivers.PortList{"Ethernet49-54"})
	vlans, _ := switchdrivers.ParseVLANSet("100,200-299,400,402")
	check("allowed_vlans", leaf1.AllowedVLANs, vlans)
	check("credentials from the defaults", leaf1.Credentials, switchdrivers.Credentials{Username: "switchbind",
		PasswordEnv: "SWITCH_PASSWORD", EnablePasswordFile: "/c/secrets/enable"})
	check("own credentials replace those of the defaults", leaf2.Credentials, switchdrivers.Credentials{Username: "switchbind",
		PasswordFile: "/c/secrets/leaf2", KeyFile: "/c/id_leaf2", EnablePasswordEnv: "LEAF2_ENABLE"})
	check("own host_key replaces that of the defaults", leaf2.HostKey, switchdrivers.HostKey{
		Fingerprints: []string{"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}})
	check("timeouts", spine1.Timeouts, switchdrivers.Timeouts{Connect: 5 * time.Second, Command: 20 * time.Second,
		Commit: 2 * time.Minute, Idle: 10 * time.Minute})
	check("booleans", []bool{leaf1.ManageVLANs, leaf1.Descriptions, leaf2.ManageVLANs}, []bool{false, false, true})
}

func TestFaults(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string // each line of the error, less the file name
	}{
		"unknown key, near": {one("allowed_vlan: [1]"),
			[]string{`9:5: switches.leaf1.allowed_vlan: unknown key; did you mean "allowed_vlans"?`}},
		"unknown key, deep": {one("timeouts:", "  conect: 5s"),
			[]string{`10:7: switches.leaf1.timeouts.conect: unknown key; did you mean "connect"?`}},
		"unknown key at the top": {"natz:\n  url: nats://x\n",
			[]string{`1:1: natz: unknown key; did you mean "nats"?`}},
		"unknown key, nothing near": {one("idle: {quux: 1}"),
			[]string{`9:12: switches.leaf1.idle.quux: unknown key; there are: vlan`}},
		"inline password": {strings.Replace(one(), "key_file: id", "password: hunter2", 1),
			[]string{"6:33: switches.leaf1.credentials.password: unknown key: secrets do not go into this file; " +
				"use password_file or password_env"}},
		"inline token": {"nats: {url: 'nats://localhost', token: hunter2}\n",
			[]string{"1:33: nats.token: unknown key: secrets do not go into this file; use token_file"}},
		"password in the URL": {"nats: {url: 'nats://me:hunter2@localhost:4222'}\n",
			[]string{"1:8: nats.url: must not contain user or password; use user and password_file or password_env"}},
		"key twice": {one("drift: repair", "drift: report"),
			[]string{"10:5: switches.leaf1.drift: the key is given twice"}},
		"switch twice": {one() + "  leaf1:\n    address: x\n", []string{"9:3: switches.leaf1: the key is given twice"}},
		"bad VLAN": {one("idle: {vlan: 4095}"),
			[]string{"9:18: switches.leaf1.idle.vlan: VLAN 4095 is out of range: it must be 1 to 4094"}},
		"bad VLANs, all told": {one("allowed_vlans: [100, 300-200, 0, x]"), []string{
			`9:26: switches.leaf1.allowed_vlans[1]: VLAN range "300-200" runs backwards`,
			`9:35: switches.leaf1.allowed_vlans[2]: VLAN 0 is out of range: it must be 1 to 4094`,
			`9:38: switches.leaf1.allowed_vlans[3]: VLAN "x" is not a number from 1 to 4094`}},
		"nothing is not everything": {one("allowed_vlans: []", "allowed_ports: []"), []string{
			"9:5: switches.leaf1.allowed_vlans: is empty: name VLANs, or write all, or leave it out, which is all too",
			`10:5: switches.leaf1.allowed_ports: is empty: name ports, or write "*", or leave it out, which is all too`}},
		"bad MAC": {one("switch_id: ['52:54:00']"),
			[]string{`9:17: switches.leaf1.switch_id[0]: "52:54:00" is not a MAC address`}},
		"duration without unit": {one("timeouts: {poll: 300}"),
			[]string{"9:22: switches.leaf1.timeouts.poll: a duration needs a unit, such as 300s or 300m"}},
		"bad duration": {one("save: {after: soon}"),
			[]string{`9:19: switches.leaf1.save.after: "soon" is not a duration; write one such as 30s, 5m or 1h30m`}},
		"negative duration": {one("save: {after: -5s}"),
			[]string{"9:19: switches.leaf1.save.after: a duration must not be negative"}},
		"zero timeout": {one("timeouts: {connect: 0s}"),
			[]string{"9:16: switches.leaf1.timeouts.connect: must be more than 0"}},
		"wrong type": {one("manage_vlans: [1]", "descriptions: 'yes'", "limits: 5"), []string{
			"9:19: switches.leaf1.manage_vlans: must be true or false, not a list",
			"10:19: switches.leaf1.descriptions: must be true or false, not text",
			"11:13: switches.leaf1.limits: must be a group of keys, not a number"}},
		"text that is a number": {strings.Replace(one(), "username: sb", "username: 12345", 1),
			[]string{"6:29: switches.leaf1.credentials.username: must be text (put it in quotes), not a number"}},
		"one of": {one("drift: repare", "unexplained: x"), []string{
			`9:5: switches.leaf1.drift: "repare" is not one of repair, report; did you mean "repair"?`,
			`10:5: switches.leaf1.unexplained: "x" is not one of quarantine, report`}},
		"no physical network": {strings.Replace(one(), "[physnet1]", "[]", 1), []string{
			"8:5: switches.leaf1.physical_networks: is missing: name the physical networks this switch carries, as Neutron calls them"}},
		"no credentials": {strings.Replace(one(), ", key_file: id", "", 1), []string{
			"6:5: switches.leaf1.credentials: there is no way to log in: give password_file, password_env, key_file or agent: true"}},
		"no credentials at all": {strings.Replace(one(), "{username: sb, key_file: id}", "{}", 1), []string{
			"6:5: switches.leaf1.credentials: there is no way to log in: give username, and password_file, password_env, key_file or " +
				"agent: true"}},
		"two passwords": {strings.Replace(one(), "key_file: id", "password_file: a, password_env: B", 1), []string{
			"6:51: switches.leaf1.credentials.password_env: give password_file or password_env, not both"}},
		"no host key": {strings.Replace(one(), "{known_hosts: kh}", "{}", 1), []string{
			"7:5: switches.leaf1.host_key: says nothing about which host key to believe: give known_hosts or fingerprints " +
				"(`ssh-keyscan HOST | ssh-keygen -lf -`, compared with the switch's console), or trust_on_first_use: true"}},
		"trust and mistrust": {strings.Replace(one(), "known_hosts: kh", "known_hosts: kh, trust_on_first_use: true", 1), []string{
			"7:33: switches.leaf1.host_key.trust_on_first_use: contradicts known_hosts and fingerprints: leave one out"}},
		"empty switch": {"switches:\n  leaf1:\n", []string{
			"2:3: switches.leaf1.address: is missing; it must be a host name or IP address, with :port where it is not the usual one",
			"2:3: switches.leaf1.driver: is missing; it is one of ssh, gnmi",
			"2:3: switches.leaf1.dialect: is missing; it says how this switch is spoken to, such as arista_eos, openvswitch, openconfig",
			"2:3: switches.leaf1.physical_networks: is missing: name the physical networks this switch carries, as Neutron calls them"}},
		"a fault of the defaults is told where it stands": {"switch_defaults:\n  drift: x\n" + one(), []string{
			`2:3: switch_defaults.drift: "x" is not one of repair, report`}},
		"a fault of the defaults, two switches": {"switch_defaults:\n  drift: x\n" + one() + strings.TrimPrefix(strings.Replace(one(), "leaf1:", "leaf2:", 1), "switches:\n"), []string{
			`2:3: switch_defaults.drift: "x" is not one of repair, report`}},
		"a fault of the defaults, name with dots": {"switch_defaults:\n  drift: x\n" + strings.Replace(one(), "leaf1:", "leaf1.dc1:", 1), []string{
			`2:3: switch_defaults.drift: "x" is not one of repair, report`}},
		"control letters in a name": {"\"l\\x001\": {}\n", []string{
			`1:1: l?1: unknown key; did you mean "log"?`}},
		"gnmi without credentials": {"switches:\n  s:\n    {address: a, driver: gnmi, dialect: openconfig, physical_networks: [p]}\n", []string{
			"2:3: switches.s.credentials: there is no way to log in: give username and password_file or password_env, or a client " +
				"certificate (tls.cert and tls.key)"}},
		"switch name": {strings.Replace(one(), "leaf1:", "'leaf 1':", 1), []string{
			"2:3: switches.leaf 1: a switch's name is up to 63 letters, digits, dots, - and _, and does not begin with a dot or -"}},
		"address": {strings.Replace(one(), "192.0.2.11", "ssh://leaf1", 1), []string{
			"3:5: switches.leaf1.address: must be a host name or IP address, with :port where it is not the usual one"}},
		"name format": {one("vlan_name_format: net-{id}"), []string{
			"9:5: switches.leaf1.vlan_name_format: knows {network_id}, {network_name} and {vlan}, nothing else in braces"}},
		"name format, command in it": {one(`vlan_name_format: "a;reload {vlan}"`), []string{
			"9:5: switches.leaf1.vlan_name_format: is letters, digits, -, _ and . beside the placeholders"}},
		"two ways into NATS": {"nats: {url: 'nats://localhost', user: u, password_env: P, creds_file: c}\n", []string{
			"1:59: nats.creds_file: give one way to log in, not user and creds_file"}},
		"credentials for no server": {"nats: {creds_file: c}\n", []string{
			"1:1: nats: creds_file, nkey_file and tls are for a server at nats.url, which is not given"}},
		"share": {"snapshot: {remove_share_at_most: 20}\n", []string{
			"1:12: snapshot.remove_share_at_most: must be more than 0 and at most 1 (0.2 is a fifth)"}},
		"not a number": {"snapshot: {remove_share_at_most: .nan}\n", []string{
			"1:34: snapshot.remove_share_at_most: must be a number, not an infinite or undefined number"}},
		"tab":             {"switches:\n\tleaf1: {}\n", []string{"2:1: not valid YAML: a tab indents this line; use blanks"}},
		"deeper tab":      {"switches:\n  leaf1:\n  \taddress: a\n", []string{"3:1: not valid YAML: a tab indents this line; use blanks"}},
		"syntax":          {"switches:\n  leaf1: {address: [\n", []string{"2:20: not valid YAML: sequence end token ']' not found"}},
		"empty":           {"# nothing\n", []string{"the file is empty; `switchbind help config` shows what belongs into it"}},
		"two documents":   {"log: {}\n---\nlog: {}\n", []string{"3:4: a second document begins here; the configuration is one document"}},
		"not a mapping":   {"- a\n", []string{"1:1: must be a group of keys, not a list"}},
		"unknown alias":   {"log: *nowhere\n", []string{"1:6: log: the alias has no anchor before it"}},
		"control letters": {strings.Replace(one(), "username: sb", `username: "a\nb"`, 1), []string{"6:29: switches.leaf1.credentials.username: must be one line without control characters"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("c.yaml", []byte(test.text))
			var faults *Error
			if !errors.As(err, &faults) {
				t.Fatalf("got %v, want faults", err)
			}
			var want []string
			for _, line := range test.want {
				if line[0] < '0' || line[0] > '9' {
					line = " " + line
				}
				want = append(want, "c.yaml:"+line)
			}
			if diff := cmp.Diff(strings.Join(want, "\n"), err.Error()); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the message repeats a secret")
			}
		})
	}
}

func TestAnchorsAndMerge(t *testing.T) {
	c, err := Parse("c.yaml", []byte(`
x-leaf: &leaf
  driver: ssh
  dialect: arista_eos
  credentials: &cred {username: sb, agent: true}
  host_key: {known_hosts: kh}
  physical_networks: [physnet1]
  drift: report
switches:
  leaf1: {<<: *leaf, address: a, drift: repair}
  leaf2:
    <<: *leaf
    address: b
    credentials: *cred
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Switches[0].Drift != "repair" || c.Switches[1].Drift != "report" || !c.Switches[1].Credentials.Agent {
		t.Errorf("%+v", c.Switches)
	}
}

func TestAnAliasThatLeadsToItselfEnds(t *testing.T) {
	for _, text := range []string{"log: &a *a\n", "log: &a\n  <<: *a\n", "x-a: &a *b\nx-b: &b *a\nlog: *a\n", "snapshot: {sources: &a [*a]}\n"} {
		if _, err := Parse("c.yaml", []byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct{ text, want string }{
		{strings.Replace(one(), "{known_hosts: kh}", "{trust_on_first_use: true}", 1), "switches.leaf1: host_key.trust_on_first_use: "},
		{"switches:\n  s: {address: a, driver: gnmi, dialect: openconfig, physical_networks: [p], credentials: {username: u, password_env: P}, tls: {insecure: true}}",
			"switches.s: tls.insecure: "},
		{"switches:\n  s: {address: a, driver: gnmi, dialect: openconfig, physical_networks: [p], credentials: {username: u, password_env: P}, tls: {skip_verify: true}}",
			"switches.s: tls.skip_verify: "},
		{"embedded: {listen: '0.0.0.0:4222'}\n" + one(), "embedded.listen: the embedded NATS server listens beyond this machine without TLS and asks nobody"},
		{"nats: {url: 'nats://nats.example.com'}\n" + one(), "nats.url: the connection to nats.example.com is not encrypted"},
		{"switches: {}\n", "switches: there are none"},
	}
	for _, test := range tests {
		c, err := Parse("c.yaml", []byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if !slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.HasPrefix(w, test.want) }) {
			t.Errorf("%s: warnings are %q, want %q", test.text, c.Warnings, test.want)
		}
	}
}

func TestFileWarningsNeverNameWhatMayBeASecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("open", "secret", 0o644)
	write("c.yaml", strings.Replace(one(), "key_file: id", "password_file: hunter2, key_file: open", 1), 0o600)
	c, err := Load(filepath.Join(dir, "c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"switches.leaf1.credentials.password_file: there is no such file",
		"switches.leaf1.credentials.key_file: others may read this secret (mode 0644); chmod 600 it",
		"switches.leaf1.host_key.known_hosts: there is no such file",
	}
	if diff := cmp.Diff(want, c.Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestLoadOfNoFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"address", "driver", "drift", "uplinks", "physical_networks"}
	for unknown, want := range map[string]string{"adress": "address", "dirver": "driver", "uplink": "uplinks",
		"physnets": "", "physical_network": "physical_networks", "Address": "address", "zzz": ""} {
		if got := nearest(unknown, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", unknown, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"testdata/full.yaml", "testdata/minimal.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("log: &a *a\n")
	f.Add("<<: *a\n")
	f.Add("switches: {leaf1: {switch_id: [1], allowed_vlans: all}}")
	f.Add("? a\n: b\n- c")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("c.yaml", []byte(text))
		var faults *Error
		switch {
		case err == nil && c == nil:
			t.Fatal("neither a configuration nor an error")
		case err != nil && !errors.As(err, &faults):
			t.Fatalf("an error of another kind: %v", err)
		case err != nil && len(faults.Faults) == 0:
			t.Fatal("an error without a fault")
		}
		if err != nil {
			for _, fault := range faults.Faults {
				if strings.ContainsAny(fault.String(), "\n\r\x00\x1b") {
					t.Fatalf("a fault with control characters: %q", fault.String())
				}
			}
			return
		}
		for _, sw := range c.Switches {
			if len(sw.PhysicalNetworks) == 0 || sw.Timeouts.Connect <= 0 || sw.Address == "" {
				t.Fatalf("an unusable switch was accepted: %+v", sw)
			}
		}
	})
}
