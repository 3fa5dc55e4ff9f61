package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

// decision is a client's method that carries out an operator's decision.
type decision func(*events.Client, context.Context, portbinding.OperatorRequest) (portbinding.OperatorReport, error)

// decide asks for one thing and shows the report.
func (a *app) decide(ctx context.Context, r portbinding.OperatorRequest, what decision) error {
	r.By, r.Confirm = person(), true
	report, err := ask(a, ctx, func(ctx context.Context, c *events.Client) (portbinding.OperatorReport, error) {
		return what(c, ctx, r)
	})
	if err != nil {
		return err
	}
	return a.showReport(report)
}

func (a *app) showReport(report portbinding.OperatorReport) error {
	if err := a.print(report, func(p *page) { reportPage(p, report) }); err != nil {
		return err
	}
	if !report.Done {
		return &failedError{exitFailed}
	}
	return nil
}

// decideTwice first shows what would happen, and does it when a person has typed the name of what it happens to, or said --yes.
func (a *app) decideTwice(ctx context.Context, r portbinding.OperatorRequest, yes bool, what decision) error {
	name := r.Switch
	if r.Port != "" {
		name += "/" + r.Port
	}
	r.By = person()
	preview, err := ask(a, ctx, func(ctx context.Context, c *events.Client) (portbinding.OperatorReport, error) {
		return what(c, ctx, r)
	})
	if err != nil {
		return err
	}
	var p page
	reportPage(&p, preview)
	_, _ = io.WriteString(a.errOut, p.String()) // a terminal that is gone cannot be told
	if !yes {
		if err := a.confirm(ctx, name); err != nil {
			return err
		}
	}
	return a.decide(ctx, r, what)
}

// confirm lets a person at a terminal type the name. Scripts say --yes: a pipe that happens to hold the right line is no decision.
func (a *app) confirm(ctx context.Context, name string) error {
	if !isTerminal(a.in) {
		return usagef("nothing was done: this asks for a decision; add --yes")
	}
	a.progress("type %s to do it:", name)
	typed := make(chan string, 1)
	go func() { // a read from a terminal cannot be interrupted; the program ends soon
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		typed <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case line := <-typed:
		if line != name {
			a.progress("nothing was done")
			return &failedError{exitFailed}
		}
	}
	return nil
}

func reportPage(p *page, r portbinding.OperatorReport) {
	p.line("%s", r.Message)
	if len(r.Exposed) > 0 {
		p.line("these switch ports may go on carrying VLANs that nobody tracks any more:")
		for _, h := range r.Exposed {
			p.line("  %s", heldWords(h))
		}
	}
	for _, b := range r.Held {
		p.line("  still asked for by binding %s", b)
	}
}

// isTerminal reports whether a stream is a person's terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a device too, and what cron and systemd give as standard input, under another name
	return err != nil || !os.SameFile(info, null)
}

// splitPlace reads SWITCH or SWITCH/PORT.
func splitPlace(text string) (sw, port string) {
	sw, port, _ = strings.Cut(text, "/")
	return sw, port
}
