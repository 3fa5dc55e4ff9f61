package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// choices are the fields that take one of a few words, by the end of their path.
var choices = map[string][]string{
	"log.level":       {"debug", "info", "warn", "error"},
	"log.format":      {"console", "json"},
	"tls.min_version": {"1.2", "1.3"},
	"driver":          {"ssh", "gnmi"},
	"unexplained":     {"quarantine", "report"},
	"drift":           {"repair", "report"},
}

func choicesFor(path string) []string {
	parts := strings.Split(path, ".")
	if c, ok := choices[parts[len(parts)-1]]; ok {
		return c
	}
	return choices[strings.Join(parts[max(0, len(parts)-2):], ".")]
}

// source is what may stand between two dots of a NATS subject.
var source = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// switchName is what a switch may be called: host names fit.
var switchName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$`)

var prefix = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

var fingerprint = regexp.MustCompile(`^SHA256:[A-Za-z0-9+/]{43}=?$`)

// checker looks at values that were decoded without a fault.
type checker struct {
	*decoder
	names map[string]bool // of the switches
}

func check(d *decoder, c *Config) {
	k := checker{d, map[string]bool{}}
	for i := range c.Switches {
		k.names[c.Switches[i].Name] = true
	}
	k.nats(&c.NATS)
	k.oneOf("log.level", c.Log.Level)
	if c.Log.Format != "" {
		k.oneOf("log.format", c.Log.Format)
	}
	if _, port, err := net.SplitHostPort(c.Embedded.Listen); c.Embedded.Listen != "none" && (err != nil || !validPort(port, 0)) {
		k.wrong("embedded.listen", "must be host:port, such as 127.0.0.1:4222, or none")
	}
	if c.Snapshot.RemoveAtMost < 1 {
		k.wrong("snapshot.remove_at_most", "must be at least 1")
	}
	if s := c.Snapshot.RemoveShareAtMost; !(s > 0 && s <= 1) {
		k.wrong("snapshot.remove_share_at_most", "must be more than 0 and at most 1 (0.2 is a fifth)")
	}
	for i, name := range c.Snapshot.Sources {
		if !source.MatchString(name) {
			k.wrong(fmt.Sprintf("snapshot.sources[%d]", i), "a source is letters, digits, - and _, such as neutron-RegionOne")
		}
	}
	for i := range c.Dialects {
		if c.Dialects[i] == "" {
			k.wrong(fmt.Sprintf("dialects[%d]", i), "the file name is empty")
		}
	}
	for i := range c.Switches {
		k.oneSwitch(&c.Switches[i])
	}
}

// wrong reports a fault at the place of a key: where the switch gives it, else where switch_defaults does, else at the nearest
// group around it. What could not be decoded has its fault already, and what follows from that is not told again.
func (k checker) wrong(path, format string, args ...any) {
	for _, f := range k.faults {
		own := strings.Replace(f.Path, "switch_defaults.", path[:len(path)-len(k.inDefaults(path))], 1)
		if within(own, path) || within(path, own) {
			return
		}
	}
	at := k.place(path)
	if inherited := "switch_defaults." + k.inDefaults(path); !k.given(path) && k.given(inherited) {
		path = inherited // one fault, however many switches inherit it
	}
	k.faults = append(k.faults, Fault{at, clipPath(path), fmt.Sprintf(format, args...)})
}

// within reports whether a path is another, or leads into it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// inDefaults returns what a switch's path is called below switch_defaults.
func (k checker) inDefaults(path string) string {
	for name := range k.names {
		if key, ok := strings.CutPrefix(path, "switches."+name+"."); ok {
			return key
		}
	}
	return path
}

func (k checker) place(path string) Position {
	for p := strings.TrimSuffix(path, "]"); p != ""; {
		if at, ok := k.where[p]; ok {
			return at
		}
		if at, ok := k.where["switch_defaults."+k.inDefaults(p)]; ok {
			return at
		}
		p = p[:max(0, strings.LastIndexAny(p, ".["))]
	}
	return Position{File: k.file}
}

func (k checker) oneOf(path, value string) {
	allowed := choicesFor(path)
	switch hint := nearest(value, allowed); {
	case slices.Contains(allowed, value):
	case value == "":
		k.wrong(path, "is missing; it is one of %s", strings.Join(allowed, ", "))
	case hint != "":
		k.wrong(path, "%s is not one of %s; did you mean %q?", switchdrivers.Quote(value), strings.Join(allowed, ", "), hint)
	default:
		k.wrong(path, "%s is not one of %s", switchdrivers.Quote(value), strings.Join(allowed, ", "))
	}
}

func (k checker) nats(n *NATS) {
	if !prefix.MatchString(n.Prefix) || len(n.Prefix) > 100 {
		k.wrong("nats.prefix", "is letters, digits, - and _, in parts with a dot between")
	}
	for u := range strings.SplitSeq(n.URL, ",") {
		if n.URL == "" {
			break
		}
		parsed, err := url.Parse(strings.TrimSpace(u))
		switch {
		case err != nil || parsed.Host == "":
			k.wrong("nats.url", "must be a URL such as nats://nats.example.com:4222")
		case parsed.User != nil:
			k.wrong("nats.url", "must not contain user or password; use user and password_file or password_env")
		case !slices.Contains([]string{"nats", "tls", "ws", "wss"}, parsed.Scheme):
			k.wrong("nats.url", "begins with nats://, tls://, ws:// or wss://")
		}
	}
	k.oneOf("nats.tls.min_version", n.TLS.MinVersion)
	k.together("nats.tls", "cert", n.TLS.Cert, "key", n.TLS.Key)
	if n.PasswordFile != "" && n.PasswordEnv != "" {
		k.wrong("nats.password_env", "give password_file or password_env, not both")
	}
	password := n.PasswordFile != "" || n.PasswordEnv != ""
	if password != (n.User != "") {
		k.wrong("nats.user", "user and password_file (or password_env) go together")
	}
	ways := []string{}
	for _, way := range []struct {
		key string
		set bool
	}{{"user", n.User != ""}, {"token_file", n.TokenFile != ""}, {"creds_file", n.CredsFile != ""}, {"nkey_file", n.NKeyFile != ""}} {
		if way.set {
			ways = append(ways, way.key)
		}
	}
	if len(ways) > 1 {
		k.wrong("nats."+ways[1], "give one way to log in, not %s", strings.Join(ways, " and "))
	}
	if n.URL == "" && (n.CredsFile != "" || n.NKeyFile != "" || n.TLS != (NATSTLS{MinVersion: n.TLS.MinVersion})) {
		k.wrong("nats", "creds_file, nkey_file and tls are for a server at nats.url, which is not given")
	}
}

func (k checker) together(group, key1, value1, key2, value2 string) {
	if (value1 != "") != (value2 != "") {
		k.wrong(group, "%s and %s go together", key1, key2)
	}
}

func (k checker) oneSwitch(sw *switchdrivers.Switch) {
	path := "switches." + sw.Name
	if !switchName.MatchString(sw.Name) {
		k.wrong(path, "a switch's name is up to 63 letters, digits, dots, - and _, and does not begin with a dot or -")
		return
	}
	if problem := badAddress(sw.Address); problem != "" {
		k.wrong(path+".address", "%s", problem)
	}
	k.oneOf(path+".driver", sw.Driver)
	if sw.Dialect == "" {
		k.wrong(path+".dialect", "is missing; it says how this switch is spoken to, such as arista_eos, openvswitch, openconfig")
	}
	k.oneOf(path+".unexplained", sw.Unexplained)
	k.oneOf(path+".drift", sw.Drift)
	k.physicalNetworks(path, sw.PhysicalNetworks)
	k.credentials(path, sw)
	switch sw.Driver {
	case "ssh":
		k.hostKey(path+".host_key", &sw.HostKey)
	case "gnmi":
		k.tls(path+".tls", &sw.TLS)
	}
	k.vlanNameFormat(path+".vlan_name_format", sw.VLANNameFormat)
	k.notEmptied(path, sw)
	if sw.Limits.PortsPerChange < 0 {
		k.wrong(path+".limits.ports_per_change", "must not be negative; 0 is no limit")
	}
	t := sw.Timeouts
	for key, value := range map[string]int64{"connect": int64(t.Connect), "command": int64(t.Command), "commit": int64(t.Commit),
		"idle": int64(t.Idle)} {
		if value <= 0 {
			k.wrong(path+".timeouts."+key, "must be more than 0")
		}
	}
}

func badAddress(address string) string {
	const form = "must be a host name or IP address, with :port where it is not the usual one"
	host, port := address, ""
	switch {
	case address == "":
		return "is missing; it " + form
	case net.ParseIP(address) != nil:
		return ""
	case strings.HasPrefix(address, "[") || strings.Contains(address, ":"):
		var err error
		if host, port, err = net.SplitHostPort(address); err != nil || !validPort(port, 1) {
			return form
		}
	}
	if host == "" || strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:%", r))
	}) {
		return form
	}
	return ""
}

func validPort(text string, least int) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= least && n <= 65535
}

func (k checker) physicalNetworks(path string, names []string) {
	path += ".physical_networks"
	if len(names) == 0 {
		k.wrong(path, "is missing: name the physical networks this switch carries, as Neutron calls them")
	}
	seen := map[string]bool{}
	for i, name := range names {
		switch {
		case strings.TrimSpace(name) == "" || len(name) > 255:
			k.wrong(fmt.Sprintf("%s[%d]", path, i), "a physical network has a name of 1 to 255 characters")
		case seen[name]:
			k.wrong(fmt.Sprintf("%s[%d]", path, i), "%s is named twice", switchdrivers.Quote(name))
		}
		seen[name] = true
	}
}

func (k checker) credentials(path string, sw *switchdrivers.Switch) {
	c, at := sw.Credentials, path+".credentials"
	password := c.PasswordFile != "" || c.PasswordEnv != ""
	if c.PasswordFile != "" && c.PasswordEnv != "" {
		k.wrong(at+".password_env", "give password_file or password_env, not both")
	}
	if c.EnablePasswordFile != "" && c.EnablePasswordEnv != "" {
		k.wrong(at+".enable_password_env", "give enable_password_file or enable_password_env, not both")
	}
	switch sw.Driver {
	case "ssh":
		if c.KeyFile != "" && c.Agent {
			k.wrong(at+".agent", "give key_file or agent, not both")
		}
		noWay := !password && c.KeyFile == "" && !c.Agent
		switch {
		case c.Username == "" && noWay:
			k.wrong(at, "there is no way to log in: give username, and password_file, password_env, key_file or agent: true")
		case c.Username == "":
			k.wrong(at+".username", "is missing")
		case noWay:
			k.wrong(at, "there is no way to log in: give password_file, password_env, key_file or agent: true")
		}
	case "gnmi":
		if password != (c.Username != "") {
			k.wrong(at, "username and password_file (or password_env) go together")
		}
		if !password && sw.TLS.Cert == "" {
			k.wrong(at, "there is no way to log in: give username and password_file or password_env, or a client certificate "+
				"(tls.cert and tls.key)")
		}
	}
}

func (k checker) hostKey(path string, h *switchdrivers.HostKey) {
	named := h.KnownHosts != "" || len(h.Fingerprints) > 0
	switch {
	case !named && !h.TrustOnFirstUse:
		k.wrong(path, "says nothing about which host key to believe: give known_hosts or fingerprints (`ssh-keyscan HOST | "+
			"ssh-keygen -lf -`, compared with the switch's console), or trust_on_first_use: true")
	case named && h.TrustOnFirstUse:
		k.wrong(path+".trust_on_first_use", "contradicts known_hosts and fingerprints: leave one out")
	}
	for i, f := range h.Fingerprints {
		if !fingerprint.MatchString(f) {
			k.wrong(fmt.Sprintf("%s.fingerprints[%d]", path, i), "is not a fingerprint as `ssh-keygen -l` prints it: SHA256: and "+
				"43 characters")
		}
	}
}

func (k checker) tls(path string, t *switchdrivers.TLS) {
	k.oneOf(path+".min_version", t.MinVersion)
	k.together(path, "cert", t.Cert, "key", t.Key)
	if t.Insecure && (t.SkipVerify || t.CA != "" || t.Cert != "" || t.ServerName != "") {
		k.wrong(path+".insecure", "is no TLS at all and contradicts the other keys of tls")
	}
}

var placeholder = regexp.MustCompile(`\{(network_id|network_name|vlan)\}`)

func (k checker) vlanNameFormat(path, format string) {
	rest := placeholder.ReplaceAllString(format, "")
	switch {
	case strings.ContainsAny(rest, "{}"):
		k.wrong(path, "knows {network_id}, {network_name} and {vlan}, nothing else in braces")
	case rest == format:
		k.wrong(path, "must contain {network_id}, {network_name} or {vlan}: VLANs of one switch need different names")
	case strings.ContainsFunc(rest, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	}):
		k.wrong(path, "is letters, digits, -, _ and . beside the placeholders")
	}
}

// notEmptied refuses an allow list that was given and is empty: whoever writes that means "nothing", and an empty list is
// "everything".
func (k checker) notEmptied(path string, sw *switchdrivers.Switch) {
	if at := path + ".allowed_vlans"; sw.AllowedVLANs.IsEmpty() && (k.given(at) || k.given("switch_defaults.allowed_vlans")) {
		k.wrong(at, "is empty: name VLANs, or write all, or leave it out, which is all too")
	}
	if at := path + ".allowed_ports"; len(sw.AllowedPorts) == 0 && (k.given(at) || k.given("switch_defaults.allowed_ports")) {
		k.wrong(at, `is empty: name ports, or write "*", or leave it out, which is all too`)
	}
}

func (k checker) given(path string) bool { _, ok := k.where[path]; return ok }
