package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// prepare compiles the rule.
func (r *TextRule) prepare() error {
	if r.Length == 0 {
		return nil
	}
	if r.Allowed == "" {
		return errors.New("allowed is missing")
	}
	if utf8.RuneCountInString(r.Replace) > 1 {
		return errors.New("replace must be one character or none")
	}
	re, err := regexp.Compile("[^" + r.Allowed + "]")
	if err != nil {
		return fmt.Errorf("allowed: %w", err)
	}
	for c := rune(0); c < ' '; c++ {
		if !re.MatchString(string(c)) {
			return fmt.Errorf("allowed lets the control character %q through", c)
		}
	}
	if re.MatchString(r.Replace) {
		return errors.New("replace is not allowed itself")
	}
	r.forbidden = re
	return nil
}

// clean makes a free text harmless to the NOS's parser: what is not allowed is replaced, what is too long is cut. Cleaning a
// clean text changes nothing.
func (r *TextRule) clean(text string) string {
	if r.Length == 0 {
		return ""
	}
	text = strings.ToValidUTF8(text, r.Replace)
	text = strings.TrimSpace(r.forbidden.ReplaceAllLiteralString(text, r.Replace))
	if runes := []rune(text); len(runes) > r.Length {
		text = strings.TrimSpace(string(runes[:r.Length]))
	}
	return text
}

// shellQuote makes one word of any text for a POSIX shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
