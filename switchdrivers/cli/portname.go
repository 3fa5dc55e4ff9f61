package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// PortGrammar says what a port's name looks like.
type PortGrammar struct {
	Example string `yaml:"example"`
	// Pattern is a regular expression that the whole canonical name matches. It must not allow blanks, quotes, control characters
	// or anything else that the CLI takes for more than a part of a word.
	Pattern string `yaml:"pattern"`
	// Spellings are the words that names may begin with, in full. An abbreviation of Least letters or more is understood, in any
	// case, with or without blanks before the number, as the CLI itself does.
	Spellings []Spelling `yaml:"spellings"`

	pattern *regexp.Regexp
}

// Spelling is one word that port names begin with.
type Spelling struct {
	Word  string   `yaml:"word"`
	Least int      `yaml:"least"`
	Also  []string `yaml:"also"` // other words for the same
}

func (g *PortGrammar) prepare() error {
	if g.Pattern == "" || g.Example == "" {
		return errors.New("pattern and example are needed")
	}
	re, err := regexp.Compile(`\A(?:` + g.Pattern + `)\z`)
	if err != nil {
		return err
	}
	g.pattern = re
	if _, ok := g.canonical(g.Example); !ok {
		return fmt.Errorf("the example %q does not match the pattern", g.Example)
	}
	for _, injection := range []string{" x", ";x", "\nx", "\r", "'", "\"", "`x`", "$x", "|x", "?", "!", "\x00", "\x1b", "&", "\\"} {
		if re.MatchString(g.Example + injection) {
			return fmt.Errorf("the pattern lets %q through after a name", injection)
		}
	}
	return nil
}

var wordAndRest = regexp.MustCompile(`^([A-Za-z][A-Za-z-]*?)-? *([0-9].*)$`)

// canonical returns the one spelling of a port name that everything else uses.
func (g *PortGrammar) canonical(text string) (string, bool) {
	const longest = 64
	if len(text) > longest {
		return "", false
	}
	if g.pattern.MatchString(text) {
		return text, true
	}
	m := wordAndRest.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	for _, s := range g.Spellings {
		if !s.matches(m[1]) {
			continue
		}
		if name := s.Word + m[2]; g.pattern.MatchString(name) {
			return name, true
		}
	}
	return "", false
}

func (s Spelling) matches(word string) bool {
	word = strings.ToLower(word)
	if len(word) >= max(s.Least, 1) && strings.HasPrefix(strings.ToLower(s.Word), word) {
		return true
	}
	for _, other := range s.Also {
		if word == strings.ToLower(other) {
			return true
		}
	}
	return false
}

// portName is [PortGrammar.canonical] with a typed error.
func (d *Dialect) portName(text string) (string, error) {
	name, ok := d.Ports.canonical(strings.Trim(text, " "))
	if !ok {
		return "", &switchdrivers.PortNameError{Platform: d.Name, Text: text, Example: d.Ports.Example}
	}
	return name, nil
}
