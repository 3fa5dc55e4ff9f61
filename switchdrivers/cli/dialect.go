package cli

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"github.com/goccy/go-yaml"

	"github.com/switchbind/switchbind/switchdrivers"
)

// Dialect is how the CLI of one network operating system is spoken: the content of one YAML file. It is immutable once it is
// loaded.
type Dialect struct {
	Name        string   `yaml:"name"`
	Description string   `yaml:"description"`
	Evidence    []string `yaml:"evidence"` // what the lines that are not obvious rest on
	Style       string   `yaml:"style"`    // how changes are made to stick: "session" or "transaction"

	Session      Session       `yaml:"session"`
	Ports        PortGrammar   `yaml:"ports"`
	VLANs        VLANRules     `yaml:"vlans"`
	Descriptions TextRule      `yaml:"descriptions"`
	NeedsSave    bool          `yaml:"needs_save"`
	Templates    Templates     `yaml:"templates"`
	Candidate    Candidate     `yaml:"candidate"`
	Errors       ErrorPatterns `yaml:"errors"`
	Read         ReadBack      `yaml:"read"`
	Identify     Identify      `yaml:"identify"`

	promptAtEnd *regexp.Regexp
	templates   *template.Template
}

// Session is how one talks to the switch.
type Session struct {
	Channel string `yaml:"channel"` // "shell": a terminal with prompts; "exec": one SSH channel and exit status per command
	// Prompt is a regular expression with two holes: the host name is where "HOST" stands, and its first and second group are the
	// mode and the mark ("config-if-Et1" and "#").
	Prompt string `yaml:"prompt"`
	Host   string `yaml:"host"` // regular expression of a host name in the prompt
	// Pipeline is how many bytes may be sent ahead of the answers; 0 sends one line at a time.
	Pipeline int      `yaml:"pipeline"`
	Width    int      `yaml:"width"`
	Height   int      `yaml:"height"`
	Prepare  []string `yaml:"prepare"` // sent after every login, the first line in whatever mode the login leads to
	Enable   Enable   `yaml:"enable"`
}

// Enable is how the privileged mode is entered.
type Enable struct {
	From     string `yaml:"from"` // the mark of the unprivileged prompt
	Command  string `yaml:"command"`
	Password string `yaml:"password"` // regular expression of the question

	password *regexp.Regexp
}

// VLANRules are the NOS's rules for its VLAN table.
type VLANRules struct {
	Table      bool                  `yaml:"table"`
	Reserved   switchdrivers.VLANSet `yaml:"reserved"`
	Implicit   map[int]string        `yaml:"implicit"` // VLANs that exist without being shown, and their names
	Name       TextRule              `yaml:"name"`
	ListLength int                   `yaml:"list_length"` // the most characters of a VLAN list on one line
}

// TextRule says what a free text may consist of. Characters that are not allowed become Replace.
type TextRule struct {
	Length  int    `yaml:"length"` // the most characters; 0: there is no such text on this NOS
	Allowed string `yaml:"allowed"`
	Replace string `yaml:"replace"`

	forbidden *regexp.Regexp
}

// Templates make lines of a change. Each is a text/template; every non-empty line of its output is sent as one line. See
// [portData] and [vlanData] for what they see.
type Templates struct {
	Begin      string `yaml:"begin"`
	VLAN       string `yaml:"vlan"`        // create or rename
	DeleteVLAN string `yaml:"delete_vlan"` //
	Port       string `yaml:"port"`        // for all modes; usually it includes the others
	Access     string `yaml:"access"`
	Trunk      string `yaml:"trunk"`
	Idle       string `yaml:"idle"`
	Verify     string `yaml:"verify"` // what is read before the commit
	Commit     string `yaml:"commit"`
	Abort      string `yaml:"abort"`
	Save       string `yaml:"save"`
}

// Candidate is how a configuration session is kept ours alone.
type Candidate struct {
	// Name of the session; where Unique is set, a suffix is added that makes it different each time.
	Name   string `yaml:"name"`
	Unique bool   `yaml:"unique"`
	Mode   string `yaml:"mode"` // regular expression of the prompt's mode inside the session
	// Stale lists sessions; Pending finds those that a crash left behind (group 1: the name); Discard ends one.
	Stale   string `yaml:"stale"`
	Pending string `yaml:"pending"`
	Discard string `yaml:"discard"`
	// Diff is the line of Verify whose answer is the session's difference, Running the one that shows the running configuration.
	Diff    string `yaml:"diff"`
	Running string `yaml:"running"`
	// Ours matches changed lines that may be ours where the diff does not show which block they stand in.
	Ours string `yaml:"ours"`

	mode, pending, ours *regexp.Regexp
}

// ErrorPatterns tell how the NOS says no. They are regular expressions matched against single lines of an answer, so that no
// text in the middle of something is taken for an error.
type ErrorPatterns struct {
	Busy    []string `yaml:"busy"`
	Refused []string `yaml:"refused"`
	Notices []string `yaml:"notices"` // lines that look like errors and are none
	// Port finds the port's name (group 1) in the words of an error that belongs to no line of its own.
	Port string `yaml:"port"`

	isBusy, isRefused, isNotice []*regexp.Regexp
	port                        *regexp.Regexp
}

// ReadBack says how the configuration is read and understood.
type ReadBack struct {
	Commands []string      `yaml:"commands"`
	Parser   string        `yaml:"parser"` // "indented_config" or "ovs_json"
	Grammar  ConfigGrammar `yaml:"grammar"`
}

// Identify is how the switch tells what it is.
type Identify struct {
	Command string `yaml:"command"`
	Pattern string `yaml:"pattern"` // lines of the answer that are kept

	pattern *regexp.Regexp
}

// decodeDialect reads one dialect file strictly. Errors show the place in the file.
func decodeDialect(file string, content []byte) (*Dialect, error) {
	d := &Dialect{}
	if err := yaml.NewDecoder(bytes.NewReader(content), yaml.Strict()).Decode(d); err != nil {
		return nil, fmt.Errorf("dialect file %s: %s", file, yaml.FormatError(err, false, true))
	}
	if err := d.prepare(); err != nil {
		return nil, fmt.Errorf("dialect file %s: %w", file, err)
	}
	return d, nil
}

// prepare checks the dialect and compiles its expressions and templates. The error names every fault found.
func (d *Dialect) prepare() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	compile := func(key, expr string) *regexp.Regexp {
		if expr == "" {
			return nil
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			fault("%s: %v", key, err)
			return nil
		}
		return re
	}
	compileAll := func(key string, exprs []string) []*regexp.Regexp {
		var all []*regexp.Regexp
		for i, expr := range exprs {
			if !strings.HasPrefix(expr, "^") {
				fault("%s[%d]: %q must begin with ^: errors are recognised at the begin of a line only", key, i, expr)
			}
			if re := compile(fmt.Sprintf("%s[%d]", key, i), expr); re != nil {
				all = append(all, re)
			}
		}
		return all
	}
	if d.Name == "" {
		fault("name is missing")
	}
	switch d.Style {
	case "session":
		if d.Candidate.Name == "" || d.Templates.Begin == "" || d.Templates.Commit == "" || d.Templates.Abort == "" {
			fault("style session needs candidate.name and the templates begin, commit and abort")
		}
	case "transaction":
	default:
		fault("style: %q is not one of session, transaction", d.Style)
	}
	switch d.Session.Channel {
	case "shell":
		if len(d.Session.Prepare) == 0 || d.Session.Prompt == "" || d.Session.Host == "" {
			fault("session: a shell needs prompt, host and at least one line to prepare with")
		}
		if strings.Count(d.Session.Prompt, "HOST") != 1 {
			fault("session.prompt: HOST must stand for the host name exactly once")
		} else if re := compile("session.prompt",
			"^(?:"+strings.Replace(d.Session.Prompt, "HOST", "(?:"+d.Session.Host+")", 1)+")$"); re != nil {
			if re.NumSubexp() != 2 {
				fault("session.prompt: it needs two groups, the mode and the mark")
			}
			d.promptAtEnd = re
		}
	case "exec":
	default:
		fault("session.channel: %q is neither shell nor exec", d.Session.Channel)
	}
	d.Session.Width, d.Session.Height = max(d.Session.Width, 80), max(d.Session.Height, 24)
	d.Session.Enable.password = compile("session.enable.password", d.Session.Enable.Password)
	if d.Session.Enable.Command != "" && d.Session.Enable.password == nil {
		fault("session.enable.password is missing")
	}
	if err := d.Ports.prepare(); err != nil {
		fault("ports: %v", err)
	}
	for key, rule := range map[string]*TextRule{"vlans.name": &d.VLANs.Name, "descriptions": &d.Descriptions} {
		if err := rule.prepare(); err != nil {
			fault("%s: %v", key, err)
		}
	}
	d.Candidate.mode = compile("candidate.mode", d.Candidate.Mode)
	d.Candidate.pending = compile("candidate.pending", d.Candidate.Pending)
	d.Candidate.ours = compile("candidate.ours", d.Candidate.Ours)
	d.Errors.isBusy = compileAll("errors.busy", d.Errors.Busy)
	d.Errors.isRefused = compileAll("errors.refused", d.Errors.Refused)
	d.Errors.isNotice = compileAll("errors.notices", d.Errors.Notices)
	d.Errors.port = compile("errors.port", d.Errors.Port)
	d.Identify.pattern = compile("identify.pattern", d.Identify.Pattern)
	if len(d.Read.Commands) == 0 {
		fault("read.commands is empty")
	}
	switch d.Read.Parser {
	case "indented_config":
		if err := d.Read.Grammar.prepare(); err != nil {
			fault("read.grammar: %v", err)
		}
	case "ovs_json":
	default:
		fault("read.parser: %q is not one of indented_config, ovs_json", d.Read.Parser)
	}
	if err := d.parseTemplates(); err != nil {
		fault("%v", err)
	}
	return errors.Join(faults...)
}

// promptOf is the prompt of the one switch whose host name is known; it matches at the begin of a line.
func (d *Dialect) promptOf(host string) *regexp.Regexp {
	return regexp.MustCompile("^(?:" + strings.Replace(d.Session.Prompt, "HOST", regexp.QuoteMeta(host), 1) + ")")
}

// promptBefore finds the prompt that is followed by the echo of line. It returns the host name, and what is left from the echo
// on.
func (d *Dialect) promptBefore(buf []byte, line string) (host string, rest []byte, ok bool) {
	hostOnly := regexp.MustCompile("^" + d.Session.Host)
	for start := 0; start < len(buf); {
		end := bytes.IndexByte(buf[start:], '\n')
		if end < 0 {
			return "", nil, false
		}
		text := bytes.TrimRight(buf[start:start+end], " ")
		if before, found := bytes.CutSuffix(text, []byte(line)); found && d.promptAtEnd.Match(before) {
			return string(hostOnly.Find(before)), bytes.Clone(buf[start+len(before):]), true
		}
		start += end + 1
	}
	return "", nil, false
}

// busy returns the line that says that the switch cannot take the change now, or "".
func (e *ErrorPatterns) busy(text string) string { return firstMatch(e.isBusy, nil, text) }

// refused returns the line that says no, or "".
func (e *ErrorPatterns) refused(text string) string { return firstMatch(e.isRefused, e.isNotice, text) }

func firstMatch(patterns, except []*regexp.Regexp, text string) string {
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(line, " \r")
		if matches(patterns, line) && !matches(except, line) {
			return line
		}
	}
	return ""
}

func matches(patterns []*regexp.Regexp, line string) bool {
	for _, re := range patterns {
		if re.MatchString(line) {
			return true
		}
	}
	return false
}
