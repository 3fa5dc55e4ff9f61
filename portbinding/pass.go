package portbinding

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// pass brings the switch from what it is to what it should be, once: read, compare, apply, read back, report.
func (w *worker) pass(ctx context.Context, fence Fence) {
	g := w.goal()
	if g == nil {
		return
	}
	now := time.Now()
	if w.dormant = g.record.Paused != nil; w.dormant {
		w.show("paused", g.record.Paused.Because, time.Time{})
		w.disconnect()
		w.report(ctx, g, allPorts(g, outcome{StatusPending, ReasonPaused, fmt.Sprintf("switch %s was paused by %s: %s; resume it with `switchbind resume %s`",
			w.name, g.record.Paused.By, g.record.Paused.Because, w.name), nil}), nil, false)
		return
	}
	if w.circuit.open(now) {
		w.report(ctx, g, allPorts(g, troubled(w.circuit.err)), nil, false)
		return
	}
	w.show("working", "", time.Time{})
	if err := w.work(ctx, g, fence); err != nil {
		w.fail(ctx, err)
		return
	}
	w.circuit.succeed()
	w.show("ok", "", time.Time{})
	if w.saveAt.IsZero() && w.unsaved() && !g.sw.Save.Never {
		w.saveAt = time.Now().Add(g.sw.Save.After) // left over from before a restart, or from a save that failed
	}
	if poll := g.sw.Timeouts.Poll; poll > 0 {
		w.pollAt = time.Now().Add(poll)
	}
}

// fail drops the session, opens the circuit, and tells every binding that waits for this switch.
func (w *worker) fail(ctx context.Context, err error) {
	w.disconnect()
	if ctx.Err() != nil || errors.Is(err, errGone) {
		return // we are stopping: nothing is known, the next start looks again
	}
	if errors.Is(err, errNotOurs) {
		// It is not for us to say anything about the switch. If it is ours after all, nobody else wakes us.
		w.circuit.succeed() // the switch itself answered
		w.show("not-owned", err.Error(), time.Time{})
		w.soonAt = time.Now().Add(soon)
		return
	}
	if errors.Is(err, errNotKept) {
		w.log.Error().Err(err).Msg("nothing is written to a switch while the ledger cannot be")
		w.circuit.succeed() // the switch itself answered
		w.show("not-kept", err.Error(), time.Time{})
		w.soonAt = time.Now().Add(soon)
		return
	}
	w.circuit.fail(err, time.Now())
	w.lateAt = time.Now().Add(w.timeouts().Commit)
	w.show(string(reasonOf(err)), err.Error(), w.circuit.until)
	w.log.Warn().Err(err).Time("retry_at", w.circuit.until).Msg("switch cannot be worked with")
	if g := w.goal(); g != nil {
		w.report(ctx, g, allPorts(g, troubled(err)), nil, true)
	}
}

func allPorts(g *goal, o outcome) map[string]outcome {
	all := map[string]outcome{}
	for name := range g.ports {
		all[name] = o
	}
	return all
}

// work does a pass against the switch. A nil error means that the switch was worked with, not that every port is good.
func (w *worker) work(ctx context.Context, g *goal, fence Fence) error {
	scope := g.scope()
	actual, err := w.read(ctx, scope)
	if err != nil {
		return err
	}
	if err := w.study(ctx, g, actual); err != nil {
		return err
	}
	// Logging in and reading take their time: what arrived meanwhile is part of this change, not of another one. And what was read
	// may have shown that other ports matter: links that lead to a LAG.
	if g = w.goal(); g == nil {
		return errGone
	}
	if g.record.Paused != nil {
		w.nudge() // somebody paused the switch meanwhile; the next pass says so
		return nil
	}
	if !g.readBy(scope) {
		if actual, err = w.read(ctx, g.scope()); err != nil {
			return err
		}
	}
	p := planFor(g, actual, w.aside(g))
	w.tellDrift(ctx, g, p.drift)
	change, caught := guard(p.change, g)
	for port, no := range caught {
		w.log.Error().Str("switch_port", port).Str("reason", string(no.reason)).Msg("the guard stopped a change: " + no.message)
		p.blocked[port] = no
	}
	change.Delete = slices.DeleteFunc(change.Delete, func(v switchdrivers.VLANChange) bool { return time.Now().Before(w.undeleted[v.ID].until) })
	if change.IsEmpty() || w.engine.opt.DryRun {
		return w.conclude(ctx, g, p, actual, nil, change)
	}
	if err := w.intend(ctx, g, change); err != nil {
		return err
	}
	begun := time.Now()
	a := &applier{driver: w.driver, fence: fence, most: g.sw.Limits.PortsPerChange, refused: map[string]error{}, vlans: map[switchdrivers.VLANID]error{}}
	err = a.apply(ctx, change)
	w.usedAt = time.Now()
	if err != nil {
		return err
	}
	if g.traits.NeedsSave && !g.sw.Save.Never {
		w.putOffSave(g.sw.Save.After)
	}
	retreat := w.setAside(g, change, a)
	if actual, err = w.readBack(ctx, g, actual); err != nil {
		return err
	}
	if err := w.disclaim(ctx, actual); err != nil {
		return err
	}
	w.log.Info().Int("ports", len(change.Ports)).Int("vlans", len(change.VLANs)+len(change.Delete)).Int("refused", len(a.refused)).
		Dur("took", time.Since(begun)).Msg("switch changed and read back")
	if retreat {
		// What was refused goes back to idle at once, so that nobody stays in a former tenant's VLAN.
		w.nudge()
	}
	return w.conclude(ctx, g, p, actual, a.refused, switchdrivers.Change{})
}

// readBack reads what the goal is about once more and lays it over what was known.
func (w *worker) readBack(ctx context.Context, g *goal, before switchdrivers.State) (switchdrivers.State, error) {
	scope := switchdrivers.Scope{}
	for name := range g.ports {
		scope.Ports = append(scope.Ports, name)
	}
	after, err := w.read(ctx, scope)
	if err != nil {
		return switchdrivers.State{}, err
	}
	merged := before.Clone()
	merged.VLANs, merged.LAGs = after.VLANs, after.LAGs
	for _, name := range scope.Ports {
		if port, ok := after.Ports[name]; ok {
			merged.Ports[name] = port
		} else {
			delete(merged.Ports, name)
		}
	}
	return merged, nil
}

// conclude judges every port and reports.
func (w *worker) conclude(ctx context.Context, g *goal, p plan, actual switchdrivers.State, refused map[string]error, unsent switchdrivers.Change) error {
	outcomes := map[string]outcome{}
	for name, pg := range g.ports {
		o := judge(g, pg, actual)
		switch no := p.blocked[name]; {
		case o.ok():
		case no != nil:
			o = blocked(no, actual)
		case refused[name] != nil:
			o.status, o.reason, o.message = StatusFailed, reasonOf(refused[name]), refused[name].Error()
		default:
			if r, was := w.refused[name]; was && r.refused && r.want.SameForwarding(pg.want) {
				o.status, o.reason, o.message = StatusFailed, reasonOf(r.err), r.err.Error()
			}
		}
		outcomes[name] = o
	}
	wishes := map[string]string{}
	for _, pc := range unsent.Ports {
		if have, ok := actual.Ports[pc.Name]; ok && w.engine.opt.DryRun && !pc.From.SameForwarding(pc.To) {
			outcomes[pc.Name] = outcome{StatusPending, ReasonDryRun, fmt.Sprintf("would change %s/%s from %q to %q: see `switchbind plan %s`",
				w.name, pc.Name, pc.From, pc.To, w.name), &have}
			if wishes[pc.Name] = outcomes[pc.Name].message; wishes[pc.Name] == w.wishes[pc.Name] {
				continue
			}
			w.log.Info().Str("switch_port", pc.Name).Stringer("from", pc.From).Stringer("to", pc.To).Str("because", pc.Reason).Msg("dry run: would change")
		}
	}
	w.wishes = wishes
	w.report(ctx, g, outcomes, &actual, !unsent.IsEmpty() || refused != nil)
	w.retryMismatches(outcomes, g)
	return nil
}
