package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/switchbind/switchbind/portbinding"
)

func partText(t testing.TB, source, id string, data map[string]any) []byte {
	t.Helper()
	data["snapshot_id"] = id
	text, err := encodeEvent(TypeSnapshot, source, newUUID(), id, time.Now(), data)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func pageOf(t testing.TB, ports ...string) []any {
	t.Helper()
	out := []any{}
	for _, port := range ports {
		var e map[string]any
		if err := json.Unmarshal(bindingText(neutron, port, 1), &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e["data"])
	}
	return out
}

func sendPart(t testing.TB, b *Bus, id string, data map[string]any) {
	t.Helper()
	publish(t, b, b.subjects.snapshot(neutron, id), partText(t, neutron, id, data))
}

func TestACompleteSnapshotReachesTheCore(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	core := newFakeCore()
	calls := 0
	core.snapshot = func(portbinding.Snapshot) (portbinding.SnapshotReport, error) {
		if calls++; calls == 1 {
			return portbinding.SnapshotReport{}, errors.New("not now")
		}
		return portbinding.SnapshotReport{}, nil
	}
	serve(t, b, core)
	sendPart(t, b, "s1", map[string]any{"phase": "begin"})
	begin, err := b.streams.snapshots.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	sendPart(t, b, "s1", map[string]any{"phase": "page", "page": 2, "bindings": pageOf(t, portNumber(3))})
	sendPart(t, b, "s1", map[string]any{"phase": "end", "pages": 2, "count": 3})
	sendPart(t, b, "s1", map[string]any{"phase": "page", "page": 1, "bindings": pageOf(t, portNumber(1), portNumber(2))})
	within(t, "snapshot, refused for now", core.snaps)
	s := within(t, "snapshot", core.snaps)
	var ports []string
	for _, b := range s.Bindings {
		ports = append(ports, b.PortID)
	}
	if s.Source != neutron || s.ID != "s1" || !s.Begin.Equal(begin.Time) || !slices.Equal(ports, []string{portNumber(1), portNumber(2), portNumber(3)}) {
		t.Errorf("got %s %s %v %v, begin was %v", s.Source, s.ID, s.Begin, ports, begin.Time)
	}
	if s.Bindings[0].Segments[0].SegmentationID != 110 {
		t.Errorf("a binding is %+v", s.Bindings[0])
	}
	eventually(t, "a purged snapshot", func() bool {
		info, err := b.streams.snapshots.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	})
}

func TestASnapshotSurvivesARestartInTheMiddle(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	core := newFakeCore()
	stop := serve(t, b, core)
	sendPart(t, b, "s1", map[string]any{"phase": "begin"})
	sendPart(t, b, "s1", map[string]any{"phase": "page", "page": 1, "bindings": pageOf(t, portA)})
	stop()
	sendPart(t, b, "s1", map[string]any{"phase": "end", "pages": 1, "count": 1})
	serve(t, b, core)
	if s := within(t, "snapshot", core.snaps); len(s.Bindings) != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestASnapshotThatBreaksTheContractIsADeadLetter(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	core := newFakeCore()
	serve(t, b, core)
	bad := pageOf(t, portA, portB)
	bad[1].(map[string]any)["segments"] = "none"
	sendPart(t, b, "bad", map[string]any{"phase": "begin"})
	sendPart(t, b, "bad", map[string]any{"phase": "page", "page": 1, "bindings": bad})
	sendPart(t, b, "bad", map[string]any{"phase": "end", "pages": 1, "count": 2})
	m := deadLetter(t, b, 1)
	if m.Header.Get(headerPointer) != "/data/bindings/1/segments" || m.Subject != "switchbind.dead.invalid-snapshot" {
		t.Errorf("the dead letter is %v", m.Header)
	}
	sendPart(t, b, "short", map[string]any{"phase": "begin"})
	sendPart(t, b, "short", map[string]any{"phase": "page", "page": 1, "bindings": pageOf(t, portA)})
	sendPart(t, b, "short", map[string]any{"phase": "end", "pages": 1, "count": 2})
	if m := deadLetter(t, b, 2); m.Header.Get(headerPointer) != "/data/count" {
		t.Errorf("the dead letter is %v", m.Header)
	}
	// After all that, a good one passes; nothing else has.
	sendPart(t, b, "good", map[string]any{"phase": "begin"})
	sendPart(t, b, "good", map[string]any{"phase": "end", "pages": 0, "count": 0})
	if s := within(t, "snapshot", core.snaps); s.ID != "good" || len(s.Bindings) != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestAHeldSnapshotStays(t *testing.T) {
	b := openBus(t, dial(t, startServer(t)), Config{})
	core := newFakeCore()
	core.snapshot = func(s portbinding.Snapshot) (portbinding.SnapshotReport, error) {
		return portbinding.SnapshotReport{Held: s.ID == "held"}, nil
	}
	stop := serve(t, b, core)
	for _, id := range []string{"held", "taken"} {
		sendPart(t, b, id, map[string]any{"phase": "begin"})
		sendPart(t, b, id, map[string]any{"phase": "end", "pages": 0, "count": 0})
	}
	within(t, "snapshot", core.snaps)
	within(t, "snapshot", core.snaps)
	eventually(t, "only the held one in the stream", func() bool {
		info, err := b.streams.snapshots.Info(t.Context())
		return err == nil && info.State.Msgs == 2
	})
	stop()
	serve(t, b, core)
	if s := within(t, "the held snapshot again", core.snaps); s.ID != "held" {
		t.Errorf("got %s", s.ID)
	}
}

func TestControllersAreAskedForSnapshots(t *testing.T) {
	conn := dial(t, startServer(t))
	b := openBus(t, conn, Config{SnapshotSources: []string{"configured"}})
	publish(t, b, b.subjects.binding("in-stream", portB), bindingText("in-stream", portB, 1))
	publish(t, b, b.subjects.binding("cli-anna", portB), bindingText("cli-anna", portB, 1))
	entry := fullEntry(t, portA)
	if _, err := b.Ledger().Put(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Ledger().Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	sub, err := conn.SubscribeSync("switchbind.snapshot.*.request")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, b, newFakeCore())
	var asked []string
	for range 3 {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parseStrict(m.Data)
		if err == nil {
			err = validate(SchemaSnapshotRequest, parsed)
		}
		if err != nil {
			t.Errorf("%v: %s", err, m.Data)
		}
		asked = append(asked, strings.Split(m.Subject, ".")[2])
	}
	slices.Sort(asked)
	if !slices.Equal(asked, []string{"configured", "in-stream", neutron}) {
		t.Errorf("asked %v", asked)
	}
	if err := b.RequestSnapshot(t.Context(), "*", "x"); err == nil {
		t.Error("asked a wildcard")
	}
	// Not kept: gone after its second.
	eventually(t, "an empty stream", func() bool {
		info, err := b.streams.snapshots.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	})
}

func part(phase string, page, pages, count int, ports ...string) snapshotPart {
	p := snapshotPart{ID: "s", Phase: phase, Page: page, Pages: pages, Count: count, source: neutron}
	for _, port := range ports {
		p.Bindings = append(p.Bindings, portbinding.Binding{PortID: port, Revision: 1, State: portbinding.Present})
	}
	p.digest = digestBindings(p.Bindings)
	return p
}

func TestAnAssembledSnapshotIsWhatWasSentInWhateverOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pages := rapid.IntRange(0, 6).Draw(t, "pages")
		var parts []snapshotPart
		count := 0
		for n := range pages {
			var ports []string
			for range rapid.IntRange(0, 3).Draw(t, "ports") {
				ports = append(ports, portNumber(count))
				count++
			}
			parts = append(parts, part(phasePage, n+1, 0, 0, ports...))
		}
		parts = append(parts, part(phaseEnd, 0, pages, count))
		for range rapid.IntRange(0, 3).Draw(t, "duplicates") {
			parts = append(parts, parts[rapid.IntRange(0, len(parts)-1).Draw(t, "which")])
		}
		parts = rapid.Permutation(parts).Draw(t, "order")
		begin := time.Unix(1000, 0)
		a := &assembler{timeout: time.Minute}
		if _, err := a.add(part(phaseBegin, 0, 0, 0), 1, begin, begin); err != nil {
			t.Fatal(err)
		}
		var got *portbinding.Snapshot
		for _, p := range parts {
			s, err := a.add(p, 1, time.Unix(2000, 0), begin)
			if err != nil {
				t.Fatal(err)
			}
			if s != nil {
				if got != nil {
					t.Fatal("complete twice")
				}
				got = s
			}
		}
		if got == nil || len(got.Bindings) != count || !got.Begin.Equal(begin) {
			t.Fatalf("got %+v, want %d bindings", got, count)
		}
		for i, b := range got.Bindings {
			if b.PortID != portNumber(i) {
				t.Fatalf("binding %d is %s", i, b.PortID)
			}
		}
		if len(a.open) != 0 || a.bytes != 0 {
			t.Fatalf("left behind: %+v", a)
		}
	})
}

func TestSnapshotsThatAreNotWhole(t *testing.T) {
	now := time.Unix(1000, 0)
	begin, end := part(phaseBegin, 0, 0, 0), part(phaseEnd, 0, 1, 1)
	for name, c := range map[string]struct {
		parts []snapshotPart
		want  string // of the last part's error; "" is none
	}{
		"no begin":              {[]snapshotPart{part(phasePage, 1, 0, 0, portA)}, "without its begin"},
		"no page":               {[]snapshotPart{begin, end}, ""},
		"no end":                {[]snapshotPart{begin, part(phasePage, 1, 0, 0, portA)}, ""},
		"a wrong count":         {[]snapshotPart{begin, part(phasePage, 1, 0, 0, portA, portB), end}, "counts 1 bindings, but the pages have 2"},
		"a page too many":       {[]snapshotPart{begin, part(phasePage, 2, 0, 0, portA), end}, "there is a page 2"},
		"two different pages":   {[]snapshotPart{begin, part(phasePage, 1, 0, 0, portA), part(phasePage, 1, 0, 0, portB)}, "different content"},
		"two different ends":    {[]snapshotPart{begin, end, part(phaseEnd, 0, 2, 1)}, "something else"},
		"a begin in the middle": {[]snapshotPart{begin, begin, part(phasePage, 1, 0, 0)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := &assembler{timeout: time.Minute}
			var err error
			for _, p := range c.parts {
				var s *portbinding.Snapshot
				if s, err = a.add(p, 1, now, now); s != nil {
					t.Fatalf("taken as complete: %+v", s)
				}
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
			var invalid *portbinding.InvalidError
			if errors.As(err, &invalid) {
				if s, err := a.add(part(phasePage, 1, 0, 0, portA), 1, now, now); s != nil || err != nil {
					t.Errorf("a late part of a dropped snapshot: %v %v", s, err)
				}
			}
			a.expire(now.Add(time.Minute))
			if len(a.open) != 0 || a.bytes != 0 {
				t.Errorf("left behind: %+v", a)
			}
		})
	}
}

func TestAPortThatMovedBetweenPagesIsTakenOnceAndAtItsNewest(t *testing.T) {
	now := time.Unix(1000, 0)
	a := &assembler{timeout: time.Minute}
	older, newer := part(phasePage, 2, 0, 0, portA), part(phasePage, 1, 0, 0, portA)
	newer.Bindings[0].Revision = 9
	a.add(part(phaseBegin, 0, 0, 0), 1, now, now)
	a.add(older, 1, now, now)
	a.add(newer, 1, now, now)
	s, err := a.add(part(phaseEnd, 0, 2, 2), 1, now, now)
	if err != nil || s == nil || len(s.Bindings) != 1 || s.Bindings[0].Revision != 9 {
		t.Errorf("got %+v %v", s, err)
	}
}

func TestIncompleteSnapshotsAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	a := &assembler{timeout: time.Minute}
	for i := range 50 {
		p := part(phaseBegin, 0, 0, 0)
		p.ID = fmt.Sprint(i)
		a.add(p, 1, now, now)
	}
	if len(a.open) != assemblePerSource {
		t.Errorf("one source has %d under way", len(a.open))
	}
	for i := range 50 {
		b := part(phaseBegin, 0, 0, 0)
		b.ID, b.source = "x", fmt.Sprint(i)
		a.add(b, 1, now, now)
		p := part(phasePage, 1, 0, 0)
		p.ID, p.source = "x", fmt.Sprint(i)
		a.add(p, assembleBytes/8, now, now)
	}
	if a.bytes > assembleBytes {
		t.Errorf("%d bytes are held", a.bytes)
	}
	p := part(phasePage, 2, 0, 0)
	p.ID, p.source = "x", "49"
	if _, err := a.add(p, assembleBytes+1, now, now); err == nil {
		t.Error("a snapshot larger than everything was taken")
	}
	if a.bytes < 0 || a.bytes > assembleBytes {
		t.Errorf("%d bytes are held", a.bytes)
	}
}
