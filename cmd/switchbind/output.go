package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
)

func (a *app) checkOutput() error {
	switch a.output {
	case "table", "json", "yaml":
		return nil
	}
	return fmt.Errorf("--output is table, json or yaml, not %q", a.output)
}

// print writes a value as the user asked: the value itself as JSON or YAML, with the names of the contract, or what table makes of
// it. It is the only way to standard output for what verbs have found out.
func (a *app) print(value any, table func(w *page)) error {
	switch a.output {
	case "json":
		return writeJSON(a.out, value)
	case "yaml":
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
		_, err = a.out.Write(text)
		return err
	}
	p := &page{}
	table(p)
	_, err := io.WriteString(a.out, p.String())
	return err
}

func writeJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// page collects what is shown to a person. Text that came from switches or events goes through clean, so that it cannot steer
// the terminal.
type page struct{ strings.Builder }

// line writes one line.
func (p *page) line(format string, args ...any) {
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			args[i] = clean(s)
		}
	}
	fmt.Fprintf(p, format+"\n", args...)
}

// rows writes a table: columns as wide as they must be, two blanks between them, nothing at the ends of lines. The last column
// may be long.
func (p *page) rows(header []string, rows [][]string) {
	all := append([][]string{header}, rows...)
	width := make([]int, len(header))
	for _, row := range all {
		for i := range row {
			row[i] = clean(row[i])
			if i < len(row)-1 {
				width[i] = max(width[i], utf8.RuneCountInString(row[i]))
			}
		}
	}
	for _, row := range all {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		p.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
}

// clean makes outside text safe to show in one line.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
}

// short cuts text that would make a table too wide.
func short(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// or is a dash where there is nothing, so that columns stay visible.
func or(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
