package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/switchbind/switchbind/portbinding"
)

// snapshots reads the parts of snapshots and hands complete ones to the core.
//
// Parts are assembled in memory. After a restart everything that is still in the stream is read again; what is done with is purged
// from it. Begin is the time at which the server received the begin part, on the same clock that stamps bindings.
type snapshots struct {
	bus    *Bus
	core   Core
	log    zerolog.Logger
	dead   deadLetters
	parts  assembler
	queue  chan jetstream.Msg
	cancel context.CancelFunc
	done   chan struct{}
}

func startSnapshots(ctx context.Context, b *Bus, core Core) (*snapshots, error) {
	s := &snapshots{bus: b, core: core, log: b.log, dead: deadLetters{b.js, b.subjects}, queue: make(chan jetstream.Msg, 16),
		parts: assembler{timeout: b.config.SnapshotTimeout}, done: make(chan struct{})}
	// Ordered: every part in the order of the stream, with gaps after a reconnect filled by the client.
	consumer, err := b.js.OrderedConsumer(ctx, b.subjects.stream(kindSnapshots), jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, fmt.Errorf("the consumer of snapshots cannot be made: %w", err)
	}
	ctx, s.cancel = context.WithCancel(ctx)
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		select {
		case s.queue <- msg:
		case <-ctx.Done():
		}
	}, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		s.log.Debug().Err(err).Msg("pulling snapshots")
	}))
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("consuming snapshots: %w", err)
	}
	go func() {
		defer close(s.done)
		s.run(ctx)
		consuming.Stop()
		<-consuming.Closed()
	}()
	return s, nil
}

func (s *snapshots) stop() {
	s.cancel()
	<-s.done
}

func (s *snapshots) run(ctx context.Context) {
	ticker := time.NewTicker(max(s.parts.timeout/4, 50*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, late := range s.parts.expire(now) {
				s.log.Warn().Str("source", late.source).Str("snapshot", late.id).Str("missing", late.missing()).
					Msg("a snapshot stayed incomplete; nothing was removed on its account")
				s.purge(ctx, late.source, late.id)
			}
		case msg := <-s.queue:
			s.take(ctx, msg)
		}
	}
}

func (s *snapshots) take(ctx context.Context, msg jetstream.Msg) {
	source, id, ok := s.bus.subjects.tail("snapshot", msg.Subject())
	if !ok || id == snapshotRequestToken {
		return // our own question
	}
	meta, err := msg.Metadata()
	if err != nil {
		s.log.Error().Err(err).Str("subject", msg.Subject()).Msg("a message without metadata")
		return
	}
	part, err := decodePart(source, id, msg.Data())
	var complete *portbinding.Snapshot
	if err == nil {
		complete, err = s.parts.add(part, len(msg.Data()), meta.Timestamp, time.Now())
	} else {
		err = s.parts.spoil(source, id, err)
	}
	if err != nil {
		s.refuse(ctx, source, id, err, msg, meta)
		return
	}
	if complete != nil {
		s.deliver(ctx, *complete)
	}
}

// deliver hands a snapshot to the core until it takes it.
func (s *snapshots) deliver(ctx context.Context, snapshot portbinding.Snapshot) {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		report, err := s.core.Snapshot(ctx, snapshot)
		log := s.log.With().Str("source", snapshot.Source).Str("snapshot", snapshot.ID).Int("bindings", len(snapshot.Bindings)).Logger()
		var invalid *portbinding.InvalidError
		switch {
		case err == nil && report.Held:
			// It stays in the stream: the core holds it in memory, and needs it again after a restart.
			log.Warn().Int("removed", len(report.Removed)).Str("message", report.Message).Msg("snapshot held")
			return
		case err == nil:
			log.Info().Int("changed", report.Changed).Int("removed", len(report.Removed)).Msg("snapshot taken")
			s.purge(ctx, snapshot.Source, snapshot.ID)
			return
		case errors.As(err, &invalid):
			log.Warn().Err(err).Msg("snapshot refused; nothing was removed on its account")
			s.purge(ctx, snapshot.Source, snapshot.ID)
			return
		case ctx.Err() != nil:
			return
		}
		log.Warn().Err(err).Dur("retry_in", wait).Msg("a snapshot could not be taken")
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (s *snapshots) refuse(ctx context.Context, source, id string, err error, msg jetstream.Msg, meta *jetstream.MsgMetadata) {
	log := s.log.With().Str("source", source).Str("snapshot", id).Logger()
	var invalid *portbinding.InvalidError
	if !errors.As(err, &invalid) {
		log.Warn().Err(err).Msg("a part of a snapshot was ignored")
		return
	}
	log.Warn().Str("pointer", invalid.Pointer).Str("problem", invalid.Problem).
		Msg("a snapshot breaks the contract; nothing was removed on its account")
	for ctx.Err() == nil {
		err := s.dead.keep(ctx, "invalid-snapshot", invalid, msg, meta)
		if err == nil {
			s.purge(ctx, source, id)
			return
		}
		log.Warn().Err(err).Msg("its dead letter could not be kept; trying again")
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// purge takes a snapshot that is done with off the stream.
func (s *snapshots) purge(ctx context.Context, source, id string) {
	if strings.ContainsAny(source+id, "*> ") { // never a wildcard
		return
	}
	err := s.bus.streams.snapshots.Purge(ctx, jetstream.WithPurgeSubject(s.bus.subjects.snapshot(source, id)))
	if err != nil && ctx.Err() == nil {
		s.log.Debug().Err(err).Msg("a snapshot that is done with stays in the stream until it expires")
	}
}

// RequestSnapshot asks a controller for its whole truth. reason is for a person who reads it. Nobody need listen.
func (b *Bus) RequestSnapshot(_ context.Context, source, reason string) error {
	if !sourcePattern.MatchString(source) {
		return &portbinding.InvalidError{Pointer: "/source", Problem: "a source is one token of letters, digits, _ and -"}
	}
	id := newUUID()
	text, err := encodeEvent(TypeSnapshotRequest, b.config.Instance, id, source, time.Now(), map[string]string{"reason": reason})
	if err != nil {
		return err
	}
	m := withID(b.subjects.snapshotRequest(source), id, text)
	m.Header.Set("Nats-TTL", "1s")
	if err := b.conn.PublishMsg(m); err != nil {
		return fmt.Errorf("asking %s for a snapshot: %w", source, err)
	}
	return nil
}

// requestKnownSnapshots asks every controller that is configured, that the ledger knows, or that has a binding in the stream: after
// a loss of any of the three the others still lead to whoever knows the truth. People have no snapshots.
func (b *Bus) requestKnownSnapshots(ctx context.Context) {
	sources := append(slices.Clone(b.config.SnapshotSources), b.ledger.knownSources()...)
	info, err := b.streams.bindings.Info(ctx, jetstream.WithSubjectFilter(b.subjects.binding("*", "*")))
	if err != nil {
		b.log.Warn().Err(err).Msg("the sources in the stream of bindings are not known; they are not asked for snapshots")
	} else {
		for subject := range info.State.Subjects {
			if source, _, ok := b.subjects.tail("binding", subject); ok {
				sources = append(sources, source)
			}
		}
	}
	slices.Sort(sources)
	for _, source := range slices.Compact(sources) {
		if (portbinding.Message{Source: source}).Manual() || !sourcePattern.MatchString(source) {
			continue
		}
		if err := b.RequestSnapshot(ctx, source, "start"); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			b.log.Warn().Err(err).Msg("a snapshot could not be asked for")
		}
	}
}
