package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/switchbind/switchbind/portbinding"
)

// ledger keeps entries under `entry.<port id>` and switch records under `switch.<name>` in a key-value bucket, as JSON.
//
// It writes to the bucket's stream itself instead of through [jetstream.KeyValue], whose Update waits for each write: here many
// writes are under way at once, each with the version that its key must have, and the server syncs them together.
type ledger struct {
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	stream string // the bucket's stream
	prefix string // of the bucket's subjects

	mu      sync.Mutex
	sources map[string]bool // the controllers that the last Load found
}

var _ portbinding.Ledger = (*ledger)(nil)

const (
	entryKey  = "entry."
	switchKey = "switch."
)

// Load reads the whole bucket: one watch, which the server answers with everything in one stream.
func (l *ledger) Load(ctx context.Context) ([]*portbinding.Entry, []*portbinding.SwitchRecord, error) {
	watcher, err := l.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, nil, fmt.Errorf("reading the ledger: %w", err)
	}
	defer watcher.Stop()
	var entries []*portbinding.Entry
	var records []*portbinding.SwitchRecord
	sources := map[string]bool{}
	for {
		var kv jetstream.KeyValueEntry
		var open bool
		select {
		case kv, open = <-watcher.Updates():
			if !open {
				return nil, nil, errors.New("reading the ledger: the connection was lost")
			}
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("reading the ledger: %w", ctx.Err())
		}
		switch {
		case kv == nil: // that was all
			l.mu.Lock()
			l.sources = sources
			l.mu.Unlock()
			return entries, records, nil
		case strings.HasPrefix(kv.Key(), entryKey):
			e, err := decodeEntry(kv)
			if err != nil {
				return nil, nil, err
			}
			entries = append(entries, e)
			if e.Controller != nil {
				sources[e.Controller.Source] = true
			}
		case strings.HasPrefix(kv.Key(), switchKey):
			r := &portbinding.SwitchRecord{}
			if err := json.Unmarshal(kv.Value(), r); err != nil {
				return nil, nil, unreadable(kv, err)
			}
			r.Version = kv.Revision()
			records = append(records, r)
		}
	}
}

// knownSources returns the controllers whose bindings the ledger held when it was loaded.
func (l *ledger) knownSources() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for source := range l.sources {
		out = append(out, source)
	}
	slices.Sort(out)
	return out
}

func decodeEntry(kv jetstream.KeyValueEntry) (*portbinding.Entry, error) {
	e := &portbinding.Entry{}
	if err := json.Unmarshal(kv.Value(), e); err != nil {
		return nil, unreadable(kv, err)
	}
	e.Version = kv.Revision()
	return e, nil
}

// unreadable stops the service: an entry that is left out would be forgotten on its switches.
func unreadable(kv jetstream.KeyValueEntry, err error) error {
	return fmt.Errorf("the ledger's entry %s (revision %d) cannot be read, and must not be guessed: %w; a newer switchbind may have "+
		"written it, otherwise restore it from an export", kv.Key(), kv.Revision(), err)
}

// Put writes entries, all under way at once. Where several fail, a conflict is what is reported.
func (l *ledger) Put(ctx context.Context, entries ...*portbinding.Entry) ([]uint64, error) {
	keys := make([]string, len(entries))
	versions := make([]uint64, len(entries))
	values := make([]any, len(entries))
	for i, e := range entries {
		keys[i], versions[i], values[i] = entryKey+encodeToken(e.PortID), e.Version, e
	}
	return l.write(ctx, keys, versions, values)
}

// PutSwitch writes one switch record.
func (l *ledger) PutSwitch(ctx context.Context, r *portbinding.SwitchRecord) (uint64, error) {
	versions, err := l.write(ctx, []string{switchKey + encodeToken(r.Name)}, []uint64{r.Version}, []any{r})
	if err != nil {
		return 0, err
	}
	return versions[0], nil
}

func (l *ledger) write(ctx context.Context, keys []string, versions []uint64, values []any) ([]uint64, error) {
	messages := make([]*nats.Msg, len(keys))
	for i, key := range keys {
		text, err := json.Marshal(values[i])
		if err != nil {
			return nil, fmt.Errorf("ledger: encoding %s: %w", key, err)
		}
		messages[i] = &nats.Msg{Subject: l.prefix + key, Data: text, Header: nats.Header{
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(versions[i], 10)},
			jetstream.ExpectedStreamHeader:      {l.stream},
		}}
	}
	acks, errs := publishEach(ctx, l.js, messages)
	out := make([]uint64, len(keys))
	var failed []error
	for i, err := range errs {
		if err == nil {
			out[i] = acks[i].Sequence
			continue
		}
		if isConflict(err) {
			// A key that was removed has a last sequence of its own, that of the marker; a new entry may take its place.
			if versions[i] == 0 {
				if out[i], err = l.kv.Create(ctx, keys[i], messages[i].Data); err == nil {
					continue
				}
			}
			if isConflict(err) || errors.Is(err, jetstream.ErrKeyExists) {
				err = portbinding.ErrConflict
			}
		}
		failed = append(failed, fmt.Errorf("ledger: %s: %w", keys[i], err))
	}
	if len(failed) > 0 {
		slices.SortStableFunc(failed, func(a, b error) int {
			return boolOrder(errors.Is(b, portbinding.ErrConflict)) - boolOrder(errors.Is(a, portbinding.ErrConflict))
		})
		if len(failed) > 3 {
			failed = append(failed[:3:3], fmt.Errorf("and %d more", len(failed)-3))
		}
		return nil, errors.Join(failed...)
	}
	return out, nil
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// Get reads one entry again.
func (l *ledger) Get(ctx context.Context, portID string) (*portbinding.Entry, error) {
	kv, err := l.kv.Get(ctx, entryKey+encodeToken(portID))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ledger: reading the entry of %s: %w", portID, err)
	}
	return decodeEntry(kv)
}

// Remove takes entries away and leaves no marker behind.
func (l *ledger) Remove(ctx context.Context, portIDs ...string) error {
	for _, id := range portIDs {
		if err := l.remove(ctx, entryKey+encodeToken(id)); err != nil {
			return err
		}
	}
	return nil
}

// RemoveSwitch takes a switch record away.
func (l *ledger) RemoveSwitch(ctx context.Context, name string) error {
	return l.remove(ctx, switchKey+encodeToken(name))
}

func (l *ledger) remove(ctx context.Context, key string) error {
	stream, err := l.js.Stream(ctx, l.stream)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(l.prefix+key))
	}
	if err != nil {
		return fmt.Errorf("ledger: removing %s: %w", key, err)
	}
	return nil
}
