package events

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

// assembler puts the parts of snapshots together. It is pure: time and sizes are told to it. It is not safe for concurrent use.
type assembler struct {
	timeout time.Duration
	open    []*assembly // by age, the oldest first
	closed  []snapshotKey
	bytes   int
}

type snapshotKey struct{ source, id string }

const (
	// assembleBytes bounds what all incomplete snapshots together may hold of messages; the oldest is dropped for a newer one.
	assembleBytes = 128 << 20
	// assemblePerSource is how many snapshots one source may have under way, say one per API server.
	assemblePerSource = 4
	// assembleRemember is how many finished ones are remembered, so that late parts of them are not taken for new.
	assembleRemember = 256
)

// assembly is one snapshot whose begin has arrived.
type assembly struct {
	snapshotKey
	begin time.Time // server's clock
	last  time.Time // ours
	pages map[int]page
	bytes int
	end   *snapshotPart
}

type page struct {
	digest   [32]byte
	bindings []portbinding.Binding
}

func (a *assembly) missing() string {
	if a.end == nil {
		return fmt.Sprintf("the end, after %d pages", len(a.pages))
	}
	return fmt.Sprintf("%d of %d pages", a.end.Pages-len(a.pages), a.end.Pages)
}

func (s *assembler) find(key snapshotKey) *assembly {
	for _, a := range s.open {
		if a.snapshotKey == key {
			return a
		}
	}
	return nil
}

// add takes one valid part. It returns the snapshot when the part completes it; an [*portbinding.InvalidError] when the part breaks
// its snapshot, which is dropped then; and another error for a part that belongs to nothing.
func (s *assembler) add(part snapshotPart, size int, received, now time.Time) (*portbinding.Snapshot, error) {
	key := snapshotKey{part.source, part.ID}
	if slices.Contains(s.closed, key) {
		return nil, nil // a duplicate, or a part of what was dropped before
	}
	a := s.find(key)
	if part.Phase == phaseBegin {
		if a == nil {
			s.begin(&assembly{snapshotKey: key, begin: received, last: now, pages: map[int]page{}})
		}
		return nil, nil
	}
	if a == nil {
		return nil, fmt.Errorf("%s of snapshot %s came without its begin", part.Phase, part.ID)
	}
	a.last = now
	if err := s.extend(a, part, size); err != nil {
		s.drop(a)
		return nil, err
	}
	return s.finish(a)
}

func (s *assembler) begin(a *assembly) {
	mine := 0
	for _, other := range slices.Backward(slices.Clone(s.open)) {
		if other.source == a.source {
			if mine++; mine >= assemblePerSource {
				s.drop(other)
			}
		}
	}
	s.open = append(s.open, a)
}

func (s *assembler) extend(a *assembly, part snapshotPart, size int) error {
	invalid := func(pointer, format string, args ...any) error {
		return &portbinding.InvalidError{Pointer: pointer, Problem: fmt.Sprintf(format, args...)}
	}
	if part.Phase == phaseEnd {
		if a.end != nil && (a.end.Pages != part.Pages || a.end.Count != part.Count) {
			return invalid("/data/count", "a second end says something else than the first")
		}
		a.end = &part
	} else {
		if old, twice := a.pages[part.Page]; twice {
			if old.digest != part.digest {
				return invalid("/data/page", "page %d came twice, with different content", part.Page)
			}
			return nil
		}
		a.pages[part.Page] = page{part.digest, part.Bindings}
		a.bytes += size
		s.bytes += size
		for s.bytes > assembleBytes {
			oldest := s.open[0]
			s.drop(oldest)
			if oldest == a {
				return invalid("", "the snapshot is larger than %d MiB", assembleBytes>>20)
			}
		}
	}
	if a.end != nil {
		for number := range a.pages {
			if number > a.end.Pages {
				return invalid("/data/pages", "there is a page %d, but the end counts %d pages", number, a.end.Pages)
			}
		}
	}
	return nil
}

// finish returns the snapshot when nothing is missing.
func (s *assembler) finish(a *assembly) (*portbinding.Snapshot, error) {
	if a.end == nil || len(a.pages) != a.end.Pages {
		return nil, nil
	}
	s.drop(a)
	count := 0
	newest := map[string]int{} // port id: index in bindings
	var bindings []portbinding.Binding
	for number := 1; number <= a.end.Pages; number++ {
		for _, b := range a.pages[number].bindings {
			count++
			at, twice := newest[b.PortID]
			switch {
			case !twice:
				newest[b.PortID] = len(bindings)
				bindings = append(bindings, b)
			case b.Revision >= bindings[at].Revision: // the port changed while the controller read its database
				bindings[at] = b
			}
		}
	}
	if count != a.end.Count {
		return nil, &portbinding.InvalidError{Pointer: "/data/count",
			Problem: fmt.Sprintf("the end counts %d bindings, but the pages have %d", a.end.Count, count)}
	}
	return &portbinding.Snapshot{Source: a.source, ID: a.id, Begin: a.begin, Bindings: bindings}, nil
}

// spoil drops a snapshot because of a part that cannot be read. It returns nil when it was dropped before.
func (s *assembler) spoil(source, id string, err error) error {
	key := snapshotKey{source, id}
	if slices.Contains(s.closed, key) {
		return nil
	}
	if a := s.find(key); a != nil {
		s.drop(a)
	} else {
		s.remember(key)
	}
	return err
}

// expire drops and returns the snapshots of which nothing was heard for too long.
func (s *assembler) expire(now time.Time) []*assembly {
	var late []*assembly
	for _, a := range slices.Clone(s.open) {
		if now.Sub(a.last) >= s.timeout {
			late = append(late, a)
			s.drop(a)
		}
	}
	return late
}

func (s *assembler) drop(a *assembly) {
	if i := slices.Index(s.open, a); i >= 0 {
		s.open = slices.Delete(s.open, i, i+1)
		s.bytes -= a.bytes
		s.remember(a.snapshotKey)
	}
}

func (s *assembler) remember(key snapshotKey) {
	s.closed = append(s.closed, key)
	if len(s.closed) > assembleRemember {
		s.closed = slices.Delete(s.closed, 0, 1)
	}
}

// The phases of a snapshot.
const (
	phaseBegin = "begin"
	phasePage  = "page"
	phaseEnd   = "end"
)

// snapshotPart is the data of a switchbind.snapshot.v1.
type snapshotPart struct {
	ID       string                `json:"snapshot_id"`
	Phase    string                `json:"phase"`
	Page     int                   `json:"page"`
	Bindings []portbinding.Binding `json:"bindings"`
	Pages    int                   `json:"pages"`
	Count    int                   `json:"count"`

	source string
	digest [32]byte // of the page
}

// decodePart reads and checks one part. source and id are those of the subject.
func decodePart(source, id string, data []byte) (snapshotPart, error) {
	var e struct {
		Source  string       `json:"source"`
		Subject string       `json:"subject"`
		Data    snapshotPart `json:"data"`
	}
	if !sourcePattern.MatchString(source) || !sourcePattern.MatchString(id) {
		return snapshotPart{}, &portbinding.InvalidError{
			Problem: fmt.Sprintf("source %s and snapshot id %s in the subject must each be one token of letters, digits, _ and -",
				switchdrivers.Quote(source), switchdrivers.Quote(id))}
	}
	if err := decodeEvent(SchemaSnapshot, data, &e); err != nil {
		return snapshotPart{}, err
	}
	switch {
	case e.Source != source:
		return snapshotPart{}, differs("/source", e.Source, "source in the subject", source)
	case e.Data.ID != id:
		return snapshotPart{}, differs("/data/snapshot_id", e.Data.ID, "snapshot id in the subject", id)
	case e.Subject != id:
		return snapshotPart{}, differs("/subject", e.Subject, "snapshot id in the subject", id)
	}
	e.Data.source = source
	e.Data.digest = digestBindings(e.Data.Bindings)
	return e.Data, nil
}

// digestBindings tells equal pages from different ones.
func digestBindings(bindings []portbinding.Binding) [32]byte {
	text, err := json.Marshal(bindings)
	if err != nil {
		return [32]byte{} // cannot be: they came from JSON
	}
	return sha256.Sum256(text)
}
