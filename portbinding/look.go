package portbinding

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// catchUp waits until what was published is in the book as well: who has seen a result, and asks, must not be told of before.
func (e *Engine) catchUp() {
	e.write.Lock()
	defer e.write.Unlock()
}

// List tells the bindings that match a filter, by port id.
func (e *Engine) List(_ context.Context, f ListFilter) ([]BindingView, error) {
	e.catchUp()
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := []BindingView{}
	for _, id := range slices.Sorted(maps.Keys(e.book.entries)) {
		entry := e.book.entries[id]
		view := entry.view()
		gone := entry.Effective() == nil && len(entry.Leaving) == 0
		switch {
		case gone && !f.Gone:
		case f.Status != "" && view.Status != f.Status:
		case f.Network != "" && view.Network.ID != f.Network && view.Network.Name != f.Network:
		case f.Switch != "" && !e.book.on[f.Switch][id]:
		default:
			out = append(out, view)
		}
	}
	return out, nil
}

// Show tells all about one port. An unambiguous beginning of a port id will do.
func (e *Engine) Show(_ context.Context, portID string) (BindingView, error) {
	e.catchUp()
	e.mu.RLock()
	defer e.mu.RUnlock()
	entry := e.book.entries[portID]
	if entry == nil && portID != "" {
		var found []string
		for id := range e.book.entries {
			if strings.HasPrefix(id, portID) {
				found = append(found, id)
			}
		}
		if len(found) == 1 {
			entry = e.book.entries[found[0]]
		}
	}
	if entry == nil {
		return BindingView{}, &UnknownError{Kind: "port", Name: portID, Hint: "`switchbind list` shows those there are"}
	}
	view := entry.view()
	top := entry.Top().Binding
	view.Binding = &top
	if view.Overridden {
		under := entry.Controller.Binding
		view.Controller = &under
	}
	return view, nil
}

func (e *Entry) view() BindingView {
	top := e.Top()
	b := top.Binding
	v := BindingView{
		PortID: e.PortID, Source: top.Source, State: b.State, Overridden: e.Manual != nil && e.Controller != nil,
		Revision: b.Revision, Digest: b.Digest, VNICType: b.VNICType, MAC: b.MAC, Network: b.Network,
		Status: e.Answer.Status, Reason: e.Answer.Reason, Message: e.Answer.Message, Links: slices.Clone(e.Links), Leaving: slices.Clone(e.Leaving),
		Verified: e.Verified, Updated: e.Updated,
	}
	if v.Status == "" {
		v.Status, v.Reason = StatusPending, ReasonQueued
	}
	if n := len(b.Segments); n > 0 {
		v.VLAN = b.Segments[n-1].SegmentationID
	}
	return v
}

// Switches tells how every switch is.
func (e *Engine) Switches(context.Context) ([]SwitchView, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := []SwitchView{}
	for _, name := range e.book.inv.Names() {
		sw, r := e.book.inv.Switch(name), e.book.record(name)
		v := SwitchView{
			Name: name, Address: sw.Address, Platform: sw.Driver + "/" + sw.Dialect, Unexplained: r.Unexplained, Unsaved: r.Unsaved, Paused: r.Paused,
			Warnings: sw.Warnings(),
		}
		w := e.workers[name]
		w.mu.Lock()
		v.Health, v.Message = w.view.state, w.view.message
		if !w.view.retryAt.IsZero() {
			at := w.view.retryAt
			v.RetryAt = &at
		}
		if !w.view.lastRead.IsZero() {
			at := w.view.lastRead
			v.LastRead = &at
		}
		w.mu.Unlock()
		for id := range e.book.on[name] {
			for _, l := range e.book.entries[id].Links {
				switch {
				case l.Switch != name:
				case l.Status == StatusBound:
					v.Bound++
				case l.Status != StatusReleased:
					v.Pending++
				}
			}
			for _, h := range e.book.entries[id].Leaving {
				if h.Switch == name {
					v.Leaving++
				}
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// Plan tells what would be sent now, to one switch or to all. Each switch is read; nothing is written.
func (e *Engine) Plan(ctx context.Context, r PlanRequest) ([]PlanView, error) {
	e.mu.RLock()
	b := e.book
	names := b.inv.Names()
	if len(r.Bindings) > 0 {
		b = b.clone()
	}
	e.mu.RUnlock()
	if r.Switch != "" {
		if e.worker(r.Switch) == nil {
			return nil, b.unknownSwitch(r.Switch)
		}
		names = []string{r.Switch}
	}
	concerned := map[string]bool{}
	if len(r.Bindings) > 0 {
		if err := e.suppose(b, r.Bindings, concerned); err != nil {
			return nil, err
		}
		if r.Switch == "" {
			names = slices.Sorted(maps.Keys(concerned))
		}
	}
	views := make([]PlanView, len(names))
	done := make(chan struct{}, len(names))
	for i, name := range names {
		go func() {
			defer func() { done <- struct{}{} }()
			views[i] = e.planOne(ctx, b, name)
		}()
	}
	for range names {
		<-done
	}
	if r.Switch == "" && len(r.Bindings) == 0 {
		views = slices.DeleteFunc(views, func(v PlanView) bool { return len(v.Script) == 0 && v.Error == "" && len(v.Waiting) == 0 })
	}
	return views, nil
}

// suppose puts hypothetical bindings into a copy of the book.
func (e *Engine) suppose(b *book, bindings []Binding, concerned map[string]bool) error {
	e.write.Lock()
	defer e.write.Unlock()
	for _, binding := range bindings {
		cur := b.entries[binding.PortID]
		source := "plan"
		binding.Revision = 1
		if cur != nil && cur.Controller != nil {
			source, binding.Revision = cur.Controller.Source, cur.Controller.Binding.Revision+1
		}
		next, _, err := merge(cur, Message{Source: source, Received: e.now(), Binding: binding})
		if err != nil {
			return err
		}
		var claims []attachment
		if layer := next.Effective(); layer != nil {
			var no *refusal
			if claims, no = resolve(layer.Binding, b.inv); no != nil {
				return &InvalidError{"", "the binding would be refused (" + string(no.reason) + "): " + no.message}
			}
		}
		next.settle(claims, e.now(), b.retired)
		next.Settled = false
		b.put(next)
		f := b.facts[next.PortID]
		for _, a := range slices.Concat(f.attachments, f.leaving) {
			concerned[a.at.sw] = true
		}
	}
	return nil
}

func (e *Engine) planOne(ctx context.Context, b *book, name string) PlanView {
	view := PlanView{Switch: name}
	e.mu.RLock()
	sw, platform, w := b.inv.Switch(name), b.inv.Platform(name), e.workers[name]
	e.mu.RUnlock()
	if w == nil || sw == nil {
		view.Error = b.unknownSwitch(name).Error()
		return view
	}
	view.Platform = sw.Driver + "/" + sw.Dialect
	actual, err := w.peek(ctx)
	if err != nil {
		view.Error = err.Error()
		return view
	}
	e.mu.RLock()
	if b.inv.Switch(name) == nil { // it was just taken out of the configuration
		e.mu.RUnlock()
		view.Error = b.unknownSwitch(name).Error()
		return view
	}
	g := b.goalOf(name)
	e.mu.RUnlock()
	p := planFor(g, actual, nil)
	change, caught := guard(p.change, g)
	maps.Copy(p.blocked, caught)
	view.Change = PlanChange{VLANs: change.VLANs, Ports: change.Ports, Delete: change.Delete}
	for _, port := range slices.Sorted(maps.Keys(g.ports)) {
		at := switchPort{name, port}
		for _, wait := range g.ports[port].waiting {
			view.Waiting = append(view.Waiting, LinkResult{Switch: name, Port: port, Status: StatusPending, Reason: wait.why.reason,
				Message: "port " + wait.entry.PortID + ": " + wait.why.message})
		}
		if no := p.blocked[port]; no != nil {
			view.Waiting = append(view.Waiting, blocked(no, actual).link(at, StatusBound))
		}
	}
	if !change.IsEmpty() {
		script, err := platform.Render(change)
		if err != nil {
			view.Error = err.Error()
		}
		view.Script = script
	}
	return view
}

// peek reads the whole switch between two passes. Whichever ends first, the worker or the caller's patience, ends the reading.
func (w *worker) peek(ctx context.Context) (switchdrivers.State, error) {
	type reading struct {
		actual switchdrivers.State
		err    error
	}
	got := make(chan reading, 1) // the caller may be gone when the switch answers
	err := w.ask(ctx, func(wctx context.Context) {
		if reason := reasonOf(w.circuit.err); w.circuit.open(time.Now()) && (reason == ReasonAuthFailed || reason == ReasonHostKey) {
			got <- reading{err: w.circuit.err} // asking must not lock an account
			return
		}
		rctx, cancel := context.WithCancel(wctx)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		actual, err := w.read(rctx, switchdrivers.Scope{})
		if err != nil {
			w.disconnect()
		}
		got <- reading{actual, err}
	})
	if err != nil {
		return switchdrivers.State{}, err
	}
	r := <-got
	return r.actual, r.err
}
