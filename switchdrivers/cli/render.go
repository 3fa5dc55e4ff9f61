package cli

import (
	"errors"
	"fmt"
	"strings"
	"text/template"

	"github.com/switchbind/switchbind/switchdrivers"
)

// portData is what the port templates see. All texts are clean: nothing in them can end a line or a word.
type portData struct {
	Session     string // the name of the configuration session
	Port        string
	From, To    switchdrivers.Port
	Access      switchdrivers.VLANID
	Native      switchdrivers.VLANID // 0: untagged frames are dropped
	Tagged      switchdrivers.VLANSet
	Carried     switchdrivers.VLANSet // Tagged and Native
	Added       switchdrivers.VLANSet // carried afterwards, not before: for systems that keep ports in their VLANs
	Removed     switchdrivers.VLANSet // carried before, not afterwards
	Enabled     bool
	Description string
	// KeepDescription says that the description stays as it was read. It is not written again then: it may be an operator's own,
	// in characters that we would replace.
	KeepDescription bool
}

// vlanData is what the VLAN templates see.
type vlanData struct {
	Session string
	ID      switchdrivers.VLANID
	Name    string
	Rename  bool // the VLAN exists
}

// changeData is what the other templates see.
type changeData struct{ Session string }

// part says where in a change a line stands.
type part int

const (
	partBegin part = iota
	partBody
	partVerify
	partCommit
)

// scriptLine is one line with all that is known about it.
type scriptLine struct {
	switchdrivers.Line
	vlan switchdrivers.VLANID
	part part
}

// parseTemplates compiles all templates. A template may include another by its key.
func (d *Dialect) parseTemplates() error {
	all := template.New(d.Name).Option("missingkey=error").Funcs(template.FuncMap{
		"quote": shellQuote,
		"list":  func(set switchdrivers.VLANSet) string { return set.String() },
		// chunks cuts a VLAN list into pieces that fit on a line.
		"chunks": func(set switchdrivers.VLANSet) []string { return chunks(set.String(), d.VLANs.ListLength) },
		// plain writes out every VLAN, for tools that know no ranges.
		"plain": func(set switchdrivers.VLANSet) string {
			var ids []string
			for id := range set.All() {
				ids = append(ids, id.String())
			}
			return strings.Join(ids, ",")
		},
	})
	var faults []error
	t := d.Templates
	for key, text := range map[string]string{"begin": t.Begin, "vlan": t.VLAN, "delete_vlan": t.DeleteVLAN, "port": t.Port,
		"access": t.Access, "trunk": t.Trunk, "idle": t.Idle, "verify": t.Verify, "commit": t.Commit, "abort": t.Abort, "save": t.Save} {
		if _, err := all.New(key).Parse(text); err != nil {
			faults = append(faults, fmt.Errorf("templates.%s: %w", key, err))
		}
	}
	d.templates = all
	return errors.Join(faults...)
}

// expand runs a template and returns its lines.
func (d *Dialect) expand(key string, data any) ([]string, error) {
	var out strings.Builder
	if err := d.templates.ExecuteTemplate(&out, key, data); err != nil {
		return nil, fmt.Errorf("dialect %s: template %s: %w", d.Name, key, err)
	}
	var lines []string
	for line := range strings.SplitSeq(out.String(), "\n") {
		line = strings.TrimRight(line, " ")
		if d.Session.Channel == "shell" {
			line = strings.TrimLeft(line, " ")
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		for i := range len(line) {
			if line[i] < ' ' || line[i] == 0x7f {
				return nil, fmt.Errorf("dialect %s: template %s: a control character in %q", d.Name, key, line)
			}
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// render writes the change in the dialect's words, in the order in which it is sent. It is the one place where that happens.
func (d *Dialect) render(change switchdrivers.Change, session string) ([]scriptLine, error) {
	if err := d.check(change); err != nil {
		return nil, err
	}
	var body []scriptLine
	add := func(key string, data any, line scriptLine) error {
		lines, err := d.expand(key, data)
		if err != nil {
			return err
		}
		for i, text := range lines {
			line.Text = text
			if i > 0 {
				line.Why = ""
			}
			body = append(body, line)
		}
		return nil
	}
	if d.VLANs.Table {
		for _, v := range change.VLANs {
			data := vlanData{Session: session, ID: v.ID, Name: d.VLANs.Name.clean(v.To.Name), Rename: v.From != nil}
			if err := add("vlan", data, scriptLine{vlan: v.ID, part: partBody, Line: switchdrivers.Line{Why: v.Reason}}); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range change.Ports {
		line := scriptLine{part: partBody, Line: switchdrivers.Line{Port: p.Name, Why: p.Reason}}
		if err := add("port", d.portData(p, session), line); err != nil {
			return nil, err
		}
	}
	if d.VLANs.Table {
		for _, v := range change.Delete {
			data := vlanData{Session: session, ID: v.ID}
			if err := add("delete_vlan", data, scriptLine{vlan: v.ID, part: partBody, Line: switchdrivers.Line{Why: v.Reason}}); err != nil {
				return nil, err
			}
		}
	}
	if len(body) == 0 {
		return nil, nil
	}
	var script []scriptLine
	frame := func(key string, p part) error {
		lines, err := d.expand(key, changeData{Session: session})
		for _, text := range lines {
			script = append(script, scriptLine{Line: switchdrivers.Line{Text: text}, part: p})
		}
		return err
	}
	if err := frame("begin", partBegin); err != nil {
		return nil, err
	}
	script = append(script, body...)
	if err := frame("verify", partVerify); err != nil {
		return nil, err
	}
	if err := frame("commit", partCommit); err != nil {
		return nil, err
	}
	if d.Style == "transaction" {
		// One command of a shell, on as many lines as there are ports, so that a person can read it.
		for i := range script[:len(script)-1] {
			script[i].Text += ` \`
		}
	}
	return script, nil
}

func (d *Dialect) portData(p switchdrivers.PortChange, session string) portData {
	before, after := p.From.VLANs(), p.To.VLANs()
	return portData{Session: session, Port: p.Name, From: p.From, To: p.To, Access: p.To.AccessVLAN, Native: p.To.NativeVLAN,
		Tagged: p.To.TaggedVLANs, Carried: after, Added: after.Minus(before), Removed: before.Minus(after), Enabled: p.To.Enabled,
		Description: d.Descriptions.clean(p.To.Description), KeepDescription: p.To.Description == p.From.Description}
}

// check refuses what the dialect cannot express, and everything that did not come out of its own port grammar.
func (d *Dialect) check(change switchdrivers.Change) error {
	cannot := func(format string, args ...any) error {
		return &switchdrivers.UnsupportedError{Platform: d.Name, What: fmt.Sprintf(format, args...)}
	}
	for _, list := range [][]switchdrivers.VLANChange{change.VLANs, change.Delete} {
		for _, v := range list {
			if !v.ID.Valid() || d.VLANs.Reserved.Contains(v.ID) {
				return cannot("VLAN %d cannot be created or deleted", v.ID)
			}
		}
	}
	for _, v := range change.VLANs {
		if v.To == nil {
			return cannot("VLAN %d is to be created as nothing", v.ID)
		}
	}
	for _, p := range change.Ports {
		if name, err := d.portName(p.Name); err != nil {
			return err
		} else if name != p.Name {
			return cannot("port %q is called %q here", p.Name, name)
		}
		to := p.To
		switch {
		case p.From.LAG != "":
			return cannot("port %s is a member of %s and has no VLANs of its own", p.Name, p.From.LAG)
		case to.Mode == switchdrivers.ModeAccess && !to.AccessVLAN.Valid():
			return cannot("port %s: access VLAN %d", p.Name, to.AccessVLAN)
		case to.Mode == switchdrivers.ModeTrunk && to.NativeVLAN != 0 && !to.NativeVLAN.Valid():
			return cannot("port %s: native VLAN %d", p.Name, to.NativeVLAN)
		case to.Mode == switchdrivers.ModeIdle && to.Enabled:
			return cannot("port %s: enabled without a VLAN", p.Name)
		case to.Mode != switchdrivers.ModeAccess && to.Mode != switchdrivers.ModeTrunk && to.Mode != switchdrivers.ModeIdle:
			return cannot("port %s: mode %q", p.Name, to.Mode)
		}
		for id := range d.VLANs.Reserved.All() {
			if to.VLANs().Contains(id) {
				return cannot("port %s: VLAN %d is reserved", p.Name, id)
			}
		}
	}
	return nil
}

// chunks cuts a comma-separated list into pieces of at most most characters; 0 is no limit. The empty list has no pieces.
func chunks(list string, most int) []string {
	if list == "" {
		return nil
	}
	if most <= 0 {
		return []string{list}
	}
	var out []string
	piece := ""
	for item := range strings.SplitSeq(list, ",") {
		if piece != "" && len(piece)+1+len(item) > most {
			out = append(out, piece)
			piece = ""
		}
		if piece != "" {
			piece += ","
		}
		piece += item
	}
	return append(out, piece)
}
