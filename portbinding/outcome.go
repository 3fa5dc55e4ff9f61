package portbinding

import (
	"context"
	"errors"
	"fmt"

	"github.com/switchbind/switchbind/switchdrivers"
)

// outcome is what one pass over a switch found out about one port.
type outcome struct {
	status   Status // StatusBound: the port reads back as wanted
	reason   Reason
	message  string
	observed *switchdrivers.Port
}

func (o outcome) ok() bool { return o.status == StatusBound }

// link turns the outcome into the result for one switch port. done is what a verified port is called: bound, or released.
func (o outcome) link(at switchPort, done Status) LinkResult {
	l := LinkResult{Switch: at.sw, Port: at.port, Status: o.status, Reason: o.reason, Message: o.message, Observed: o.observed}
	if o.ok() {
		l.Status = done
	}
	return l
}

// judge compares what was read back with what is wanted on one port. A link that is down is no fault; a VLAN that does not exist
// or is suspended is, because the switch accepts the port's configuration and forwards nothing.
func judge(g *goal, pg *portGoal, actual switchdrivers.State) outcome {
	have, exists := actual.Ports[pg.port]
	if !exists {
		return outcome{StatusRefused, ReasonUnknownPort, fmt.Sprintf("switch %s has no port %s", g.sw.Name, pg.port), nil}
	}
	mismatch := &switchdrivers.MismatchError{Switch: g.sw.Name, Port: pg.port, Want: pg.want, Got: have}
	switch {
	case !have.SameForwarding(pg.want):
	case have.Problem != "" && pg.want.Enabled:
		mismatch.Detail = have.Problem
	default:
		detail := missingVLAN(g, pg, actual)
		if detail == "" {
			return outcome{StatusBound, ReasonNone, "", &have}
		}
		mismatch.Detail = detail
	}
	return outcome{StatusFailed, ReasonMismatch, mismatch.Error(), &have}
}

func missingVLAN(g *goal, pg *portGoal, actual switchdrivers.State) string {
	if !g.traits.HasVLANTable || !pg.want.Enabled {
		return ""
	}
	for v := range pg.want.VLANs().All() {
		switch vlan, exists := actual.VLANs[v]; {
		case !exists:
			return fmt.Sprintf("VLAN %d does not exist on the switch", v)
		case vlan.Suspended:
			return fmt.Sprintf("VLAN %d is suspended on the switch", v)
		}
	}
	return ""
}

// blocked is the outcome of a port that cannot be brought to its goal.
func blocked(no *refusal, actual switchdrivers.State) outcome {
	o := outcome{status: StatusFailed, reason: no.reason, message: no.message}
	switch no.reason {
	case ReasonUnknownPort, ReasonUnsupported, ReasonPortProtected:
		o.status = StatusRefused
	case ReasonNotSurveyed:
		o.status = StatusPending
	}
	if have, ok := actual.Ports[no.at.port]; ok {
		o.observed = &have
	}
	return o
}

// troubled is the outcome of a port on a switch that could not be worked with.
func troubled(err error) outcome {
	o := outcome{status: StatusPending, reason: reasonOf(err), message: err.Error()}
	switch o.reason {
	case ReasonRejected, ReasonMismatch, ReasonUnsupported:
		o.status = StatusFailed
	}
	return o
}

// reasonOf names the error in the words of the contract.
func reasonOf(err error) Reason {
	var unreachable *switchdrivers.UnreachableError
	var auth *switchdrivers.AuthError
	var key *switchdrivers.HostKeyError
	var busy *switchdrivers.BusyError
	var refused *switchdrivers.RefusedError
	var mismatch *switchdrivers.MismatchError
	var unreadable *switchdrivers.UnreadableError
	var unsupported *switchdrivers.UnsupportedError
	switch {
	case errors.As(err, &key):
		return ReasonHostKey
	case errors.As(err, &auth):
		return ReasonAuthFailed
	case errors.As(err, &busy):
		return ReasonBusy
	case errors.As(err, &refused):
		return ReasonRejected
	case errors.As(err, &mismatch):
		return ReasonMismatch
	case errors.As(err, &unreadable):
		return ReasonUnreadable
	case errors.As(err, &unsupported):
		return ReasonUnsupported
	case errors.As(err, &unreachable) && unreachable.Timeout, errors.Is(err, context.DeadlineExceeded):
		return ReasonTimeout
	}
	return ReasonUnreachable
}

// fold makes one answer out of what is known about every switch port of an entry.
func fold(e *Entry, f *facts) (Status, Reason, string) {
	if f.refusal != nil {
		return StatusRefused, f.refusal.reason, f.refusal.message
	}
	present := e.Effective() != nil
	if !present && len(e.Leaving) == 0 {
		return StatusReleased, ReasonNone, ""
	}
	count := map[Status]int{}
	first := map[Status]LinkResult{}
	for _, l := range e.linksThatCount(f) {
		if count[l.Status]++; count[l.Status] == 1 {
			first[l.Status] = l
		}
	}
	total := 0
	for _, n := range count {
		total += n
	}
	pick := func(s, as Status) (Status, Reason, string) { return as, first[s].Reason, first[s].Message }
	switch {
	case present && count[StatusRefused] > 0 && count[StatusRefused] == total:
		return pick(StatusRefused, StatusRefused)
	case count[StatusRefused] > 0:
		return pick(StatusRefused, StatusFailed)
	case count[StatusFailed] > 0:
		return pick(StatusFailed, StatusFailed)
	case count[StatusPending] > 0:
		return pick(StatusPending, StatusPending)
	case present:
		return StatusBound, ReasonNone, ""
	}
	return StatusPending, ReasonQueued, ""
}

// linksThatCount are the links that an answer rests on: those that a present binding asks for, each of them, and those that one
// which is gone is leaving. A port that is being left does not make a binding any less good; a port that nothing is known about
// does not make it any better.
func (e *Entry) linksThatCount(f *facts) []LinkResult {
	if e.Effective() == nil {
		return e.Links
	}
	known := map[switchPort]LinkResult{}
	for _, l := range e.Links {
		known[switchPort{l.Switch, l.Port}] = l
	}
	links := make([]LinkResult, 0, len(f.attachments))
	for _, a := range f.attachments {
		l, ok := known[a.at]
		if !ok {
			l = LinkResult{Switch: a.at.sw, Port: a.at.port, Status: StatusPending, Reason: ReasonQueued}
		}
		links = append(links, l)
	}
	return links
}
