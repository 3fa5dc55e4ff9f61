package cli

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// ConfigGrammar says which lines of an indented configuration text mean what. The lines of a block are matched without their
// indentation; lines that nothing matches are none of our business.
type ConfigGrammar struct {
	Comment string `yaml:"comment"` // lines that begin with it are skipped
	// End matches the last line of a complete text. A text without it was cut off, and is refused.
	End string `yaml:"end"`
	// Literal frames text that is quoted in the configuration, such as a banner.
	Literal   Frame  `yaml:"literal"`
	Interface string `yaml:"interface"` // group 1: the name
	VLAN      string `yaml:"vlan"`      // group 1: the VLAN or list of VLANs

	Lines       []Rule   `yaml:"lines"`
	VLANLines   []Rule   `yaml:"vlan_lines"`
	GlobalLines []Rule   `yaml:"global_lines"`
	Defaults    Defaults `yaml:"defaults"`

	end, literalFrom, literalTo, iface, vlan *regexp.Regexp
}

// Frame is the first and the last line of something.
type Frame struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// Rule is what one kind of line means. The value is group 1, or Value with $1 filled in.
type Rule struct {
	Match string `yaml:"match"`
	Is    string `yaml:"is"`
	Value string `yaml:"value"`

	re *regexp.Regexp
}

// Defaults is what a port is when the configuration does not say otherwise.
type Defaults struct {
	Mode    string                `yaml:"mode"`
	Access  switchdrivers.VLANID  `yaml:"access"`
	Native  switchdrivers.VLANID  `yaml:"native"`
	Allowed switchdrivers.VLANSet `yaml:"allowed"`
	Enabled bool                  `yaml:"enabled"`
}

// meanings are the words that Rule.Is may be, and what they do to what is known of a port.
var meanings = map[string]func(*portText, string) error{
	"enabled":      func(p *portText, _ string) error { p.enabled = true; return nil },
	"disabled":     func(p *portText, _ string) error { p.enabled = false; return nil },
	"routed":       func(p *portText, _ string) error { p.routed = true; return nil },
	"switched":     func(p *portText, _ string) error { p.routed = false; return nil },
	"mode_access":  func(p *portText, _ string) error { p.mode, p.oddMode = "access", ""; return nil },
	"mode_trunk":   func(p *portText, _ string) error { p.mode, p.oddMode = "trunk", ""; return nil },
	"mode_unknown": func(p *portText, v string) error { p.oddMode = v; return nil },
	"description":  func(p *portText, v string) error { p.description = v; return nil },
	"lag":          func(p *portText, v string) error { p.lag = v; return nil },
	"problem":      func(p *portText, v string) error { p.problems = append(p.problems, v); return nil },
	"native_none":  func(p *portText, _ string) error { p.native = 0; return nil },
	"access":       func(p *portText, v string) (err error) { p.access, err = switchdrivers.ParseVLANID(v); return err },
	"native":       func(p *portText, v string) (err error) { p.native, err = switchdrivers.ParseVLANID(v); return err },
	"allowed":      func(p *portText, v string) (err error) { p.allowed, err = switchdrivers.ParseVLANSet(v); return err },
	"allowed_add": func(p *portText, v string) error {
		more, err := switchdrivers.ParseVLANSet(v)
		p.allowed = p.allowed.Union(more)
		return err
	},
	"allowed_remove": func(p *portText, v string) error {
		less, err := switchdrivers.ParseVLANSet(v)
		p.allowed = p.allowed.Minus(less)
		return err
	},
}

func (g *ConfigGrammar) prepare() error {
	var faults []error
	compile := func(key, expr string) *regexp.Regexp {
		re, err := regexp.Compile(expr)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", key, err))
		}
		return re
	}
	if g.Interface == "" || g.End == "" {
		return errors.New("interface and end are needed")
	}
	g.end, g.iface = compile("end", g.End), compile("interface", g.Interface)
	if g.VLAN != "" {
		g.vlan = compile("vlan", g.VLAN)
	}
	if g.Literal.From != "" {
		g.literalFrom, g.literalTo = compile("literal.from", g.Literal.From), compile("literal.to", g.Literal.To)
	}
	known := func(key string, rules []Rule, words []string) {
		for i := range rules {
			rules[i].re = compile(fmt.Sprintf("%s[%d].match", key, i), rules[i].Match)
			if !slices.Contains(words, rules[i].Is) {
				faults = append(faults, fmt.Errorf("%s[%d]: %q is not one of %s", key, i, rules[i].Is, strings.Join(words, ", ")))
			}
		}
	}
	known("lines", g.Lines, slices.Sorted(maps.Keys(meanings)))
	known("vlan_lines", g.VLANLines, []string{"name", "suspended"})
	known("global_lines", g.GlobalLines, []string{"default_routed"})
	if g.Defaults.Mode != "access" && g.Defaults.Mode != "trunk" {
		faults = append(faults, fmt.Errorf("defaults.mode: %q is neither access nor trunk", g.Defaults.Mode))
	}
	return errors.Join(faults...)
}

// match returns the rule for a line and its value.
func match(rules []Rule, line string) (*Rule, string) {
	for i := range rules {
		m := rules[i].re.FindStringSubmatchIndex(line)
		if m == nil {
			continue
		}
		value := rules[i].Value
		if value == "" && len(m) >= 4 && m[2] >= 0 {
			value = line[m[2]:m[3]]
		}
		if rules[i].Value != "" {
			value = string(rules[i].re.ExpandString(nil, rules[i].Value, line, m))
		}
		return &rules[i], value
	}
	return nil, ""
}
