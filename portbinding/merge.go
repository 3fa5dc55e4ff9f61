package portbinding

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// verdict says what a message does to an entry.
type verdict int

const (
	ignored verdict = iota // late, or a duplicate: nothing changes
	again                  // says what is known already, and asks to be answered again
	updated                // a newer revision of the same wish: only the ledger changes, and the answer is repeated
	changed                // something else is wanted now
)

// merge lays a message over what the ledger has for its port. It decides by (revision, sequence) alone, never by the order of
// arrival: JetStream delivers again, and late. old is nil for a port never heard of, and is not changed.
func merge(old *Entry, m Message) (*Entry, verdict, error) {
	e := &Entry{PortID: m.Binding.PortID}
	if old != nil {
		e = old.clone()
	}
	layer := &Layer{Source: m.Source, Sequence: m.Sequence, Received: m.Received, Binding: m.Binding}
	var v verdict
	if m.Manual() {
		v = mergeManual(e, layer)
	} else {
		if e.Controller != nil && e.Controller.Source != m.Source {
			return nil, ignored, &InvalidError{"/source", fmt.Sprintf("port %s belongs to source %s", e.PortID, e.Controller.Source)}
		}
		v = mergeController(e, layer, m.Snapshot)
	}
	if v != ignored && m.RequestID != "" {
		e.RequestID = m.RequestID
	}
	return e, v, nil
}

func mergeManual(e *Entry, layer *Layer) verdict {
	if layer.Sequence <= e.ManualSeen {
		if e.Manual != nil && layer.Sequence == e.Manual.Sequence && !e.Finished {
			return again
		}
		return ignored
	}
	e.ManualSeen = layer.Sequence
	if e.Controller != nil {
		layer.OverDigest = controllerDigest(e.Controller.Binding)
	}
	same := e.Manual != nil && digest(e.Manual.Binding) == digest(layer.Binding)
	e.Manual = layer
	if same {
		return again
	}
	return changed
}

func mergeController(e *Entry, layer *Layer, snapshot bool) verdict {
	known := e.Controller
	if known == nil {
		e.Controller = layer
		return e.endManual(changed)
	}
	was, is := known.Binding, layer.Binding
	if was.State == Deleted && is.State != Deleted {
		return ignored // a port id is never used again
	}
	newer := is.Revision > was.Revision
	if is.Revision == was.Revision {
		newer = (is.State == Deleted && was.State != Deleted) || (snapshot && !known.Received.After(layer.Received)) || (!snapshot && layer.Sequence > known.Sequence)
	}
	switch {
	case !newer && !snapshot && layer.Sequence == known.Sequence && !e.Finished:
		return again // delivered again, perhaps because we died before it was done
	case !newer:
		return ignored
	}
	if snapshot {
		layer.Sequence = known.Sequence // what the stream still holds from before stays old
	}
	same := digest(was) == digest(is)
	resent := same && was.Revision == is.Revision && was.Digest == is.Digest
	e.Controller = layer
	switch {
	case e.Manual != nil && e.Manual.OverDigest != controllerDigest(is):
		return e.endManual(changed) // the controller sees a difference, even where we see none
	case resent && snapshot:
		return ignored // the controller says what we know; nobody waits for an answer
	case resent:
		return again
	case same:
		return updated
	}
	return e.endManual(changed)
}

// endManual drops a manual layer when the controller wants something else than when the layer was laid.
func (e *Entry) endManual(v verdict) verdict {
	if e.Manual == nil || e.Controller == nil {
		return v
	}
	if e.Manual.OverDigest == controllerDigest(e.Controller.Binding) {
		return updated // still overridden: what is in force has not changed
	}
	e.Manual = nil
	return v
}

// digest identifies what a binding wants. It is our own, not the controller's: an opaque digest is only echoed, and a controller
// that forgets to change it must not keep a port on the wrong VLAN. Revision, digest and names do not count: a rename changes
// nothing on a switch.
func digest(b Binding) string {
	b.Revision, b.Digest, b.Network.Name = 0, "", ""
	if b.State != Present {
		b = Binding{PortID: b.PortID, State: b.State}
	}
	text, err := json.Marshal(b)
	if err != nil {
		return "" // cannot happen: every field came out of JSON
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// controllerDigest is the digest by which a manual layer knows what it overrides: the controller's own, where it sends one for what
// it wants. Of a port that is unbound or deleted only ids and revision count.
func controllerDigest(b Binding) string {
	if b.Digest != "" && b.State == Present {
		return b.Digest
	}
	return digest(b)
}

// settle works out what the entry claims now and what it leaves, after a layer or the inventory changed. Nothing is ever
// forgotten here: what was claimed may have been applied, so it is held until it is verified out.
func (e *Entry) settle(claims []attachment, now time.Time, retired func(sw string) bool) {
	kept := map[switchPort]Claim{}
	for _, c := range e.Claims {
		kept[switchPort{c.Switch, c.Port}] = c
	}
	var next []Claim
	wanted := map[switchPort]attachment{}
	for _, a := range claims {
		wanted[a.at] = a
		since := now
		if was, ok := kept[a.at]; ok {
			since = was.Since
		}
		vlans := slices.Clone(a.vlans)
		for i, v := range vlans {
			vlans[i].Since = e.vlanSince(a.at, v, now)
		}
		next = append(next, Claim{Switch: a.at.sw, Port: a.at.port, Since: since, VLANs: vlans})
	}
	for _, was := range e.Claims {
		e.leave(switchPort{was.Switch, was.Port}, was.VLANs, now, retired)
	}
	e.Claims = next
	// What is claimed is not leaving.
	var leaving []Hold
	for _, h := range e.Leaving {
		still := wanted[switchPort{h.Switch, h.Port}].vlans
		h.VLANs = without(h.VLANs, still)
		if len(h.VLANs) > 0 {
			leaving = append(leaving, h)
		}
	}
	e.Leaving = leaving
}

// vlanSince is since when the entry asks for a VLAN on a port, or may be in it for having asked before; now if neither.
func (e *Entry) vlanSince(at switchPort, v HeldVLAN, now time.Time) time.Time {
	since := now
	look := func(sw, port string, vlans []HeldVLAN) {
		for _, h := range vlans {
			if sw == at.sw && port == at.port && h.is(v) && h.Since.Before(since) {
				since = h.Since
			}
		}
	}
	for _, c := range e.Claims {
		look(c.Switch, c.Port, c.VLANs)
	}
	for _, h := range e.Leaving {
		look(h.Switch, h.Port, h.VLANs)
	}
	return since
}

// leave adds a hold, merged with one there is.
func (e *Entry) leave(at switchPort, vlans []HeldVLAN, now time.Time, retired func(sw string) bool) {
	if len(vlans) == 0 || retired(at.sw) {
		return
	}
	for i, h := range e.Leaving {
		if h.Switch == at.sw && h.Port == at.port {
			e.Leaving[i].VLANs = earliest(h.VLANs, vlans)
			return
		}
	}
	e.Leaving = append(e.Leaving, Hold{Switch: at.sw, Port: at.port, VLANs: vlans, Since: now})
}

// earliest joins two lists of VLANs; of one that is in both the earlier time stays.
func earliest(have, more []HeldVLAN) []HeldVLAN {
	out := slices.Clone(have)
	for _, v := range more {
		if i := slices.IndexFunc(out, v.is); i < 0 {
			out = append(out, v)
		} else if v.Since.Before(out[i].Since) {
			out[i].Since = v.Since
		}
	}
	return out
}

func without(vlans, remove []HeldVLAN) []HeldVLAN {
	var out []HeldVLAN
	for _, v := range vlans {
		keep := true
		for _, r := range remove {
			keep = keep && !v.is(r)
		}
		if keep {
			out = append(out, v)
		}
	}
	return out
}

// set returns the plain VLAN ids of held VLANs.
func set(held []HeldVLAN) switchdrivers.VLANSet {
	ids := make([]switchdrivers.VLANID, len(held))
	for i, h := range held {
		ids[i] = h.VLAN
	}
	return switchdrivers.VLANs(ids...)
}
