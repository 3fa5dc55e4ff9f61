package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/switchbind/switchbind/fixtures/lab"
)

// steps shows the scenario while it runs: on a terminal, what is being done and then what came of it in its place; elsewhere the
// latter alone.
type steps struct {
	out  io.Writer
	live bool
}

// newSteps shows on a stream. Without live, nothing is written over: somebody else writes there too.
func newSteps(out io.Writer, live bool) *steps { return &steps{out, live && isTerminal(out)} }

func (s *steps) begin(step *labStep) {
	if s.live {
		fmt.Fprintf(s.out, " ..   %-8s%s", step.Name, step.Title)
	}
}

func (s *steps) end(step *labStep) {
	if s.live {
		fmt.Fprint(s.out, "\r\x1b[K")
	}
	verdict := " ok  "
	if !step.OK {
		verdict = "FAIL "
	}
	fmt.Fprintf(s.out, "%s %-8s%-58s%5d ms\n", verdict, step.Name, step.Title, step.DurationMS)
	for _, note := range step.Notes {
		fmt.Fprintf(s.out, "      %s\n", clean(note))
	}
}

// labPage is the report for people: the tables of the steps that change who reaches whom, and every one that is wrong.
func labPage(p *page, r labReport) {
	for _, t := range r.Tables {
		if wrong := len(t.Wrong()) > 0; wrong || slices.Contains([]string{"bind", "rebind", "unbind"}, t.After) {
			p.line("")
			p.line("who reaches whom after %s:", t.After)
			p.WriteString(matrixText(t, true))
		}
	}
	p.line("")
	if r.OK {
		p.line("Every table is as it should be. %d frames reached machines, none of them a machine of another segment.", r.Frames)
	}
	if r.Access != nil {
		accessPage(p, r.Access)
	}
}

// matrixText is a table with a column for each machine. judged adds the segments and marks rows that are wrong.
func matrixText(t lab.Table, judged bool) string {
	header := []string{"MACHINE"}
	if judged {
		header = append(header, "SEGMENT")
	}
	for _, r := range t.Rows {
		header = append(header, r.Machine)
	}
	var rows [][]string
	for _, r := range t.Rows {
		row := []string{r.Machine}
		if judged {
			row = append(row, or(r.Segment))
		}
		for _, other := range t.Rows {
			switch {
			case other.Machine == r.Machine:
				row = append(row, "")
			case slices.Contains(r.Reaches, other.Machine):
				row = append(row, "yes")
			default:
				row = append(row, "-")
			}
		}
		if judged && !r.OK {
			row[len(row)-1] += "   <- WRONG"
		}
		rows = append(rows, row)
	}
	p := &page{}
	p.rows(header, rows)
	return p.String()
}

func accessPage(p *page, in *labAccess) {
	p.line("")
	p.line("The switches (password: %s):", in.Password)
	for _, s := range in.Switches {
		p.line("  %s  %s", s.Switch, s.SSH)
		if s.GNMI != "" {
			p.line("         gnmic -a %s -u %s -p %s --tls-ca %s get --path /interfaces", s.GNMI, in.Username, in.Password, s.CAFile)
		}
	}
	p.line("")
	p.line("The service, over NATS (its configuration is %s):", in.Config)
	p.line("  export SWITCHBIND_NATS_URL=%s", in.NATS)
	for _, line := range in.Try {
		p.line("  %s", line)
	}
}
