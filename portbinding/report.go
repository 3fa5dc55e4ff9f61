package portbinding

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// report is what one pass over a switch found out: the goal it worked for, and what became of every port of it.
type report struct {
	goal     *goal
	outcomes map[string]outcome
	actual   *switchdrivers.State // what the switch's configuration said last; nil when it could not be read
	tried    bool                 // something was sent, or should have been
}

// learn applies a report to one entry and returns the entry as it is now known, and the result to publish, where one is due. cur
// is the book's present entry; it returns nil where the report says nothing new about it.
func (b *book) learn(cur *Entry, r report, now time.Time) (*Entry, *Result) {
	e, f := cur.clone(), b.facts[cur.PortID]
	name := r.goal.sw.Name
	if r.actual != nil {
		e.verifyOut(b, r)
		e.Verified = nil // anew, if it is as wanted
	}
	links := slices.DeleteFunc(e.Links, func(l LinkResult) bool { return l.Switch == name })
	mine := map[string]bool{}
	for _, a := range f.attachments {
		if pg := r.goal.ports[a.at.port]; a.at.sw == name && pg != nil {
			mine[a.at.port] = true
			links = append(links, r.linkOf(e, pg, a.at))
		}
	}
	for _, l := range f.leaving {
		if l.at.sw != name || mine[l.at.port] {
			continue
		}
		mine[l.at.port] = true
		o, known := r.outcomes[l.at.port]
		switch {
		case !e.holds(b, l.at) && r.actual != nil && e.Effective() != nil: // gone, and no part of the binding any more
		case !e.holds(b, l.at) && r.actual != nil:
			link := outcome{status: StatusBound}.link(l.at, StatusReleased)
			if have, ok := r.actual.Ports[l.at.port]; ok {
				link.Observed = &have
			}
			links = append(links, link)
		case known && !o.ok():
			links = append(links, o.link(l.at, StatusReleased))
		case known:
			links = append(links, LinkResult{Switch: name, Port: l.at.port, Status: StatusPending, Reason: ReasonQueued})
		}
	}
	slices.SortFunc(links, func(x, y LinkResult) int { return compareLinks(x, y) })
	e.Links = links
	if r.tried {
		e.Attempts++
	}
	// An entry that lost holds has other facts than before.
	return e, e.answer(b.derive(e), now)
}

func compareLinks(x, y LinkResult) int {
	switch {
	case x.Switch < y.Switch || x.Switch == y.Switch && x.Port < y.Port:
		return -1
	case x.Switch == y.Switch && x.Port == y.Port:
		return 0
	}
	return 1
}

// linkOf is what the report says about a switch port that the entry asks for.
func (r report) linkOf(e *Entry, pg *portGoal, at switchPort) LinkResult {
	for _, w := range pg.waiting {
		if w.entry.PortID == e.PortID {
			l := LinkResult{Switch: at.sw, Port: at.port, Status: StatusPending, Reason: w.why.reason, Message: w.why.message}
			return l
		}
	}
	if o, ok := r.outcomes[at.port]; ok && pg.owner != nil && pg.owner.PortID == e.PortID {
		return o.link(at, StatusBound)
	}
	return LinkResult{Switch: at.sw, Port: at.port, Status: StatusPending, Reason: ReasonQueued}
}

// verifyOut drops what the entry held on the switch and is verified out of: VLANs that the port's configuration no longer has, or
// everything where the port reads back exactly as its present owner, or nobody, wants it.
func (e *Entry) verifyOut(b *book, r report) {
	var left []Hold
	for _, h := range e.Leaving {
		if h.Switch != r.goal.sw.Name {
			left = append(left, h)
			continue
		}
		if h.VLANs = r.remaining(b, h); len(h.VLANs) > 0 {
			left = append(left, h)
		}
	}
	e.Leaving = left
}

// remaining is the part of a hold that the port is not verified out of.
func (r report) remaining(b *book, h Hold) []HeldVLAN {
	at := b.resolveLAG(switchPort{h.Switch, h.Port})
	have, exists := r.actual.Ports[at.port]
	if !exists {
		if pg := r.goal.ports[at.port]; pg == nil {
			return h.VLANs // it was not looked at
		}
		return nil // the configuration has no such port
	}
	if o, ok := r.outcomes[at.port]; ok && o.ok() {
		return nil
	}
	carried := have.VLANs()
	return slices.DeleteFunc(slices.Clone(h.VLANs), func(v HeldVLAN) bool { return !carried.Contains(v.VLAN) })
}

// holds reports whether the entry still holds something on a switch port that it no longer asks for.
func (e *Entry) holds(b *book, at switchPort) bool {
	return slices.ContainsFunc(e.Leaving, func(h Hold) bool { return b.resolveLAG(switchPort{h.Switch, h.Port}) == at })
}

// answer brings the entry's answer up to date and returns the result to publish: one for each change of digest, status or reason,
// and one for every question that was asked again (the caller clears Answer for that).
func (e *Entry) answer(f *facts, now time.Time) *Result {
	status, reason, message := fold(e, f)
	was := e.Answer
	top := e.Top()
	next := Answer{Digest: top.Binding.Digest, Revision: top.Binding.Revision, Status: status, Reason: reason, Message: message}
	e.Finished = status == StatusBound || status == StatusReleased || status == StatusRefused
	switch {
	case status != StatusBound && status != StatusReleased:
		e.Verified = nil
	case e.Verified == nil: // an answer from the ledger alone keeps the time of the reading it rests on
		e.Verified = &now
	}
	e.Settled = e.Settled || e.Verified != nil
	if reason == ReasonQueued {
		return nil // work is under way: nothing to say yet
	}
	same := next.Digest == was.Digest && status == was.Status && reason == was.Reason
	if next.Digest == "" {
		same = same && next.Revision == was.Revision // without a digest, only the revision tells what is answered
	}
	e.Answer = next
	if same {
		return nil
	}
	e.Updated = now
	result := &Result{
		PortID: e.PortID, Source: top.Source, Revision: top.Binding.Revision, Digest: top.Binding.Digest, RequestID: e.RequestID,
		Status: status, Reason: reason, Message: message, Links: slices.Clone(e.Links), Attempts: e.Attempts,
	}
	if result.Links == nil {
		result.Links = []LinkResult{}
	}
	if !e.Accepted.IsZero() {
		result.DurationMS = now.Sub(e.Accepted).Milliseconds()
	}
	if e.Finished {
		result.VerifiedAt = e.Verified
		e.RequestID = ""
	}
	if t := top.Binding.Trunk; t != nil {
		for _, sub := range t.SubPorts {
			result.SubPorts = append(result.SubPorts, SubPortResult{sub.PortID, status})
		}
	}
	return result
}

// sameKnowledge reports whether two versions of an entry differ in nothing that must survive a crash. When something was last
// verified alone is not worth a write for every port at every poll.
func sameKnowledge(x, y *Entry) bool {
	a, c := *x, *y
	a.Verified, c.Verified, a.Attempts, c.Attempts = nil, nil, 0, 0
	if (x.Verified == nil) != (y.Verified == nil) {
		return false
	}
	return reflect.DeepEqual(a, c)
}

// question clears what keeps a result from being repeated: the binding was sent again, or a person asked.
func (e *Entry) question() {
	e.Answer, e.Finished = Answer{}, false
}

// String is the entry in a log line.
func (e *Entry) String() string {
	return fmt.Sprintf("port %s: %s %s", e.PortID, e.Answer.Status, e.Answer.Reason)
}
