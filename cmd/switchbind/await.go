package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

// publish sends a manual binding and waits for its result.
func (a *app) publish(ctx context.Context, c *events.Client, b portbinding.Binding) error {
	source := manualSource()
	watch, err := c.WatchResults(b.PortID)
	if err != nil {
		return err
	}
	defer watch.Close()
	id, err := c.Bind(ctx, source, b)
	if err != nil {
		return invalidIsUsage(err)
	}
	a.progress("sent as %s, waiting for the switches", source)
	return a.await(ctx, watch, b.PortID, func(r portbinding.Result) bool {
		return r.RequestID == id || r.Source == source && r.Revision == b.Revision && r.Digest == b.Digest
	})
}

// publishOnly sends a manual binding and does not wait.
func (a *app) publishOnly(ctx context.Context, c *events.Client, b portbinding.Binding) error {
	id, err := c.Bind(ctx, manualSource(), b)
	if err != nil {
		return invalidIsUsage(err)
	}
	sent := struct {
		PortID  string `json:"port_id"`
		EventID string `json:"event_id"`
		Source  string `json:"source"`
	}{b.PortID, id, manualSource()}
	return a.print(sent, func(p *page) {
		p.line("sent, not waited for: `switchbind show %s` tells what became of it", b.PortID)
	})
}

// invalidIsUsage: a binding that breaks the contract was never sent; it is the command line or its file that is wrong.
func invalidIsUsage(err error) error {
	var invalid *portbinding.InvalidError
	if errors.As(err, &invalid) {
		return &usageError{err}
	}
	return err
}

// await shows what happens until there is a final result, prints that, and returns nil when everything is verified.
func (a *app) await(ctx context.Context, watch *events.ResultWatch, portID string, ours func(portbinding.Result) bool) error {
	var last *portbinding.Result
	for {
		r, err := watch.Next(ctx)
		var nobody *events.NobodyError
		switch {
		case err != nil && errors.Is(ctx.Err(), context.Canceled):
			a.progress("interrupted; the service goes on, `switchbind show %s` tells how far it is", portID)
			return err
		case errors.As(err, &nobody) && last != nil:
			if err := a.print(*last, func(p *page) { resultTable(p, *last) }); err != nil {
				return err
			}
			a.progress("not verified in time; the service goes on, `switchbind show %s` tells how far it is", portID)
			return &failedError{exitFailed}
		case err != nil:
			return err
		case !ours(r):
			continue
		}
		if final(r) {
			if err := a.print(r, func(p *page) { resultTable(p, r) }); err != nil {
				return err
			}
			if r.Status == portbinding.StatusBound || r.Status == portbinding.StatusReleased {
				return nil
			}
			a.advise(r)
			return &failedError{exitFailed}
		}
		if last == nil || last.Reason != r.Reason || last.Message != r.Message {
			a.progress("%s", clean(joinWords(string(r.Status), why(r.Reason, r.Message))))
			if r.Reason == portbinding.ReasonVLANQuarantined && (last == nil || last.Reason != r.Reason) {
				a.progress("it waits until they are out of the VLAN: `switchbind show PORT` and `unbind PORT`; " +
					"if it belongs on their network, say so with --network")
			}
		}
		last = &r
	}
}

// final reports whether waiting longer makes no sense: a service that writes nothing will not verify anything.
func final(r portbinding.Result) bool {
	return r.Status != portbinding.StatusPending || r.Reason == portbinding.ReasonDryRun
}

// advise says what to do about a bad result.
func (a *app) advise(r portbinding.Result) {
	if text := portbinding.Reasons[r.Reason]; text != "" {
		a.progress("%s: %s", r.Reason, text)
	}
	switch r.Status {
	case portbinding.StatusFailed:
		a.progress("the service keeps repairing; `switchbind show %s` tells how far it is", r.PortID)
	case portbinding.StatusRefused:
		a.progress("nothing is tried until the binding or the configuration changes")
	}
}

// progress tells a person what happens meanwhile, beside the output.
func (a *app) progress(format string, args ...any) { fmt.Fprintf(a.errOut, format+"\n", args...) }

func joinWords(status, reason string) string {
	if reason == "" {
		return status
	}
	return status + ": " + reason
}

func resultTable(p *page, r portbinding.Result) {
	if r.Status != portbinding.StatusPending {
		p.line("%s  %s in %d ms", r.PortID, string(r.Status), r.DurationMS)
	} else {
		p.line("%s  %s", r.PortID, string(r.Status)) // the time it took to say so is not the time it takes
	}
	if text := why(r.Reason, r.Message); text != "" {
		p.line("%s", text)
	}
	if len(r.Links) > 0 {
		linkTable(p, r.Links, r.Message)
	}
}
