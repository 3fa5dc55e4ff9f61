package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/switchbind/switchbind/switchdrivers"
)

// maxSize is far beyond what ten thousand switches need, and keeps a wrong file from filling the memory.
const maxSize = 32 << 20

// Load reads a configuration file. The error is an [*Error] with every fault, or says why the file cannot be read. Files that
// the configuration names and that are not there are warnings: they may be in place when they are needed, and one missing
// password must not keep the other switches from working.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxSize {
		return nil, fmt.Errorf("configuration file %s is larger than %d MiB: is it the right one?", path, maxSize>>20)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	c, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	c.Warnings = append(c.Warnings, fileWarnings(c)...)
	return c, nil
}

// Parse reads a configuration from memory. file is its name, for messages; its directory is what relative file names in the
// configuration are relative to. Parse looks at no file.
func Parse(file string, text []byte) (*Config, error) {
	d := &decoder{file: file, where: map[string]Position{}, anchors: map[string]ast.Node{}}
	c := defaults()
	c.file, c.where = file, d.where
	if root := d.parse(text); root != nil {
		d.collectAnchors(root)
		d.document(root, &c)
		resolveFiles(&c)
		check(d, &c)
	}
	if len(d.faults) > 0 {
		sortFaults(d.faults)
		return nil, &Error{d.faults}
	}
	c.Warnings = warnings(&c)
	return &c, nil
}

// parse returns the syntax tree of the one document; nil for a fault or for an empty file.
func (d *decoder) parse(text []byte) ast.Node {
	whole := func(line, column int, problem string) ast.Node {
		d.faults = append(d.faults, Fault{Position{d.file, line, column}, "", problem})
		return nil
	}
	tree, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey()) // duplicates are ours to report
	var fault yaml.Error
	switch {
	case errors.As(err, &fault):
		// Only the library's message: its full text quotes the lines around.
		line, column := 0, 0
		if t := fault.GetToken(); t != nil && t.Position != nil {
			line, column = t.Position.Line, t.Position.Column
		}
		if tabbed(text, line) { // the library complains about a character that is not even shown
			return whole(line, 1, "not valid YAML: a tab indents this line; use blanks")
		}
		return whole(line, column, "not valid YAML: "+fault.GetMessage())
	case err != nil:
		return whole(0, 0, "not valid YAML")
	}
	docs := slices.DeleteFunc(tree.Docs, func(doc *ast.DocumentNode) bool { return doc.Body == nil })
	switch len(docs) {
	case 0:
		return whole(0, 0, "the file is empty; `switchbind help config` shows what belongs into it")
	case 1:
		return docs[0].Body
	}
	p := d.position(docs[1].Body)
	return whole(p.Line, p.Column, "a second document begins here; the configuration is one document")
}

// tabbed reports whether a tab is among what indents a line; lines count from 1.
func tabbed(text []byte, line int) bool {
	lines := bytes.Split(text, []byte("\n"))
	if line < 1 || line > len(lines) {
		return false
	}
	indent := lines[line-1][:len(lines[line-1])-len(bytes.TrimLeft(lines[line-1], " \t"))]
	return bytes.IndexByte(indent, '\t') >= 0
}

// document decodes the top level. switch_defaults comes first, wherever in the file it stands, because all switches start
// from it.
func (d *decoder) document(root ast.Node, c *Config) {
	pairs, ok := d.mapping(root, "", 0)
	if !ok {
		return
	}
	base := switchDefaults()
	target := reflect.ValueOf(c).Elem()
	fields := keysOf(target.Type())
	known := []string{"switch_defaults", "switches"}
	for key := range fields {
		known = append(known, key)
	}
	slices.Sort(known)
	var switches []pair
	for _, p := range pairs {
		d.where[p.key] = d.position(p.at)
		switch i, isField := fields[p.key]; {
		case isField:
			d.into(p.value, target.Field(i), p.key)
		case p.key == "switch_defaults":
			d.into(p.value, reflect.ValueOf(&base).Elem(), p.key)
		case p.key == "switches":
			switches, _ = d.mapping(p.value, p.key, 0)
		case strings.HasPrefix(p.key, "x-"): // a place to define anchors
		default:
			d.unknown(p, p.key, known)
		}
	}
	for _, p := range switches {
		path := join("switches", p.key)
		d.where[path] = d.position(p.at)
		sw := base
		d.into(p.value, reflect.ValueOf(&sw).Elem(), path)
		sw.Name = p.key
		d.ownWay(&sw, path)
		c.Switches = append(c.Switches, sw)
	}
	slices.SortFunc(c.Switches, func(a, b switchdrivers.Switch) int { return cmp.Compare(a.Name, b.Name) })
}

// ownWay lets a switch that names its own way to log in, or to be believed, leave the ways of switch_defaults behind:
// otherwise it would have two.
func (d *decoder) ownWay(sw *switchdrivers.Switch, path string) {
	given := func(key string) bool { _, ok := d.where[join(path, key)]; return ok }
	replace := func(fields map[string]*string) {
		own := false
		for key := range fields {
			own = own || given(key)
		}
		for key, field := range fields {
			if own && !given(key) {
				*field = ""
			}
		}
	}
	cr := &sw.Credentials
	replace(map[string]*string{"credentials.password_file": &cr.PasswordFile, "credentials.password_env": &cr.PasswordEnv})
	replace(map[string]*string{"credentials.enable_password_file": &cr.EnablePasswordFile,
		"credentials.enable_password_env": &cr.EnablePasswordEnv})
	if given("credentials.key_file") && !given("credentials.agent") {
		cr.Agent = false
	}
	if given("credentials.agent") && !given("credentials.key_file") {
		cr.KeyFile = ""
	}
	if given("host_key") {
		if !given("host_key.known_hosts") {
			sw.HostKey.KnownHosts = ""
		}
		if !given("host_key.fingerprints") {
			sw.HostKey.Fingerprints = nil
		}
		if !given("host_key.trust_on_first_use") {
			sw.HostKey.TrustOnFirstUse = false
		}
	}
}

// resolveFiles makes every file name independent of the working directory.
func resolveFiles(c *Config) {
	dir := filepath.Dir(c.file)
	if c.Embedded.DataDir == "" {
		state, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":") // systemd's StateDirectory=, may be several
		c.Embedded.DataDir = cmp.Or(state, "switchbind-data")
	}
	for _, name := range fileNames(c) {
		switch {
		case *name == "" || filepath.IsAbs(*name):
		case strings.HasPrefix(*name, "~/"):
			if home, err := os.UserHomeDir(); err == nil {
				*name = filepath.Join(home, (*name)[2:])
			}
		default:
			*name = filepath.Join(dir, *name)
		}
	}
}

// fileNames returns every field that names a file or directory.
func fileNames(c *Config) []*string {
	n := &c.NATS
	names := []*string{&c.Embedded.DataDir, &n.PasswordFile, &n.TokenFile, &n.CredsFile, &n.NKeyFile, &n.TLS.CA, &n.TLS.Cert, &n.TLS.Key}
	for i := range c.Dialects {
		names = append(names, &c.Dialects[i])
	}
	for i := range c.Switches {
		sw := &c.Switches[i]
		names = append(names, &sw.Credentials.PasswordFile, &sw.Credentials.KeyFile, &sw.Credentials.EnablePasswordFile,
			&sw.HostKey.KnownHosts, &sw.TLS.CA, &sw.TLS.Cert, &sw.TLS.Key)
	}
	return names
}
