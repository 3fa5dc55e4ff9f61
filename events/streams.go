package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The kinds of streams; the prefix in capitals goes before ([subjects.stream]).
const (
	kindBindings  = "BINDINGS"
	kindSnapshots = "SNAPSHOTS"
	kindResults   = "RESULTS"
	kindDead      = "DEAD"
	kindWork      = "WORK"
)

// Limits bound what the streams keep. Zero fields are the defaults, given in each comment.
type Limits struct {
	BindingsAge    time.Duration // 7 days. The engine keeps tombstones for longer than that.
	BindingsBytes  int64         // 256 MiB. A full stream refuses publications: nothing is lost without the publisher knowing.
	SnapshotsAge   time.Duration // 1 hour
	SnapshotsBytes int64         // 256 MiB; the oldest go
	ResultsAge     time.Duration // 7 days
	ResultsBytes   int64         // 256 MiB; the oldest go
	DeadAge        time.Duration // 30 days
	DeadBytes      int64         // 64 MiB; the oldest go
	LedgerBytes    int64         // 1 GiB, without an age. A full ledger refuses writes, and messages stay unacknowledged.
}

// The last value of a switch is all that a work stream holds, so its size is bounded by the number of switches.
const workBytes = 16 << 20

func (l Limits) withDefaults() Limits {
	age := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	size := func(n *int64, otherwise int64) {
		if *n == 0 {
			*n = otherwise
		}
	}
	const day = 24 * time.Hour
	age(&l.BindingsAge, 7*day)
	age(&l.SnapshotsAge, time.Hour)
	age(&l.ResultsAge, 7*day)
	age(&l.DeadAge, 30*day)
	size(&l.BindingsBytes, 256<<20)
	size(&l.SnapshotsBytes, 256<<20)
	size(&l.ResultsBytes, 256<<20)
	size(&l.DeadBytes, 64<<20)
	size(&l.LedgerBytes, 1<<30)
	return l
}

// streams are the handles of everything that is kept.
type streams struct {
	bindings, snapshots, results, dead, work jetstream.Stream
	ledger                                   jetstream.KeyValue
}

func openStreams(ctx context.Context, js jetstream.JetStream, s subjects, c Config) (*streams, error) {
	l := c.Limits
	const week = 7 * 24 * time.Hour
	base := func(kind, description string, subjects ...string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: s.stream(kind), Description: "switchbind: " + description, Subjects: subjects, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Replicas: c.Replicas,
			MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1, Duplicates: 2 * time.Minute,
		}
	}
	bindings := base(kindBindings, "what each port should be, the last word of each source", s.join("binding", "*", "*"))
	bindings.MaxMsgsPerSubject, bindings.MaxAge, bindings.MaxBytes = 1, l.BindingsAge, l.BindingsBytes
	bindings.Discard = jetstream.DiscardNew

	snapshots := base(kindSnapshots, "parts of snapshots, until they are complete", s.join("snapshot", "*", "*"))
	snapshots.MaxAge, snapshots.MaxBytes = l.SnapshotsAge, l.SnapshotsBytes
	// Requests for snapshots share the subject space; they carry a time to live of a second, because nobody needs them later.
	snapshots.AllowMsgTTL = true

	results := base(kindResults, "what was verified, and drift", s.join("result", "*", "*"), s.join("drift", "*"))
	results.MaxMsgsPerSubject, results.MaxAge, results.MaxBytes = 64, l.ResultsAge, l.ResultsBytes

	dead := base(kindDead, "messages that break the contract", s.join("dead", "*"))
	dead.MaxAge, dead.MaxBytes = l.DeadAge, l.DeadBytes

	work := base(kindWork, "switches that are dirty", s.join("work", "*"))
	work.MaxMsgsPerSubject, work.MaxAge, work.MaxBytes = 1, week, workBytes

	var out streams
	for _, x := range []struct {
		config jetstream.StreamConfig
		to     *jetstream.Stream
	}{{bindings, &out.bindings}, {snapshots, &out.snapshots}, {results, &out.results}, {dead, &out.dead}, {work, &out.work}} {
		stream, err := openStream(ctx, js, x.config)
		if err != nil {
			return nil, err
		}
		*x.to = stream
	}
	var err error
	out.ledger, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: s.bucket(), Description: "switchbind: the ledger", History: 1, Storage: jetstream.FileStorage,
		MaxBytes: l.LedgerBytes, Replicas: c.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("the ledger's key-value bucket %s cannot be made or updated: %w", s.bucket(), err)
	}
	status, err := out.ledger.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("the ledger's key-value bucket %s: %w", s.bucket(), err)
	}
	if status.TTL() != 0 {
		return nil, fmt.Errorf("the ledger's key-value bucket %s has a TTL of %v: entries would vanish; remove it", s.bucket(), status.TTL())
	}
	return &out, nil
}

// openStream makes a stream, or brings the limits of an existing one up to date. What cannot be changed, or what somebody else
// depends on, is compared and refused in words: the server's own message would not say what to do.
func openStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	existing, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err := js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was faster
			return openStream(ctx, js, want)
		}
		if err != nil {
			return nil, fmt.Errorf("the stream %s cannot be made: %w", want.Name, err)
		}
		return stream, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the stream %s: %w", want.Name, err)
	}
	have := existing.CachedInfo().Config
	differs := func(what string, got, must any) error {
		return fmt.Errorf("the stream %s exists already, with %s %v where switchbind needs %v: choose another nats.prefix, or remove "+
			"the stream if nobody needs it", want.Name, what, got, must)
	}
	slices.Sort(have.Subjects)
	sorted := slices.Sorted(slices.Values(want.Subjects))
	switch {
	case !slices.Equal(have.Subjects, sorted):
		return nil, differs("subjects", have.Subjects, sorted)
	case have.Retention != want.Retention:
		return nil, differs("retention", have.Retention, want.Retention)
	case have.Storage != want.Storage:
		return nil, differs("storage", have.Storage, want.Storage)
	case have.NoAck:
		return nil, differs("acknowledgements", "off", "on")
	case have.MaxMsgsPerSubject != want.MaxMsgsPerSubject:
		return nil, differs("a limit of messages per subject of", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	case have.Mirror != nil || len(have.Sources) > 0 || have.Sealed:
		return nil, differs("a mirror, sources or a seal", "set", "none")
	}
	// Whatever else an operator chose (placement, compression, metadata) stays.
	updated := have
	updated.MaxAge, updated.MaxBytes, updated.Discard, updated.Replicas = want.MaxAge, want.MaxBytes, want.Discard, want.Replicas
	updated.AllowMsgTTL = have.AllowMsgTTL || want.AllowMsgTTL
	stream, err := js.UpdateStream(ctx, updated)
	if err != nil {
		return nil, fmt.Errorf("the stream %s cannot be updated: %w", want.Name, err)
	}
	return stream, nil
}
