package events

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/switchbind/switchbind/portbinding"
)

// Config is what the message side needs to know. The zero value works.
type Config struct {
	Prefix   string // of every subject; "" is [DefaultPrefix]
	Instance string // the source of what switchbind itself publishes, one NATS token; "" is "switchbind"
	Version  string // of the program, shown by the NATS service API; "" is "0.0.0"

	Replicas int    // of every stream; 0 is 1
	Limits   Limits // of the streams; zero fields have defaults

	// Sole says that no other switchbind can be connected to this NATS server: it is embedded, and its only user is this process.
	// Then a new owner of a switch waits for nobody, and pins live long, which costs less.
	Sole bool
	// PinnedTTL is how long a switch stays owned after its owner was last heard of; 0 is 6 s, or 30 s when Sole. At least 3 s.
	PinnedTTL time.Duration

	// SnapshotSources are controllers that are asked for a snapshot at the start, beside those the ledger and the streams know.
	SnapshotSources []string
	// SnapshotTimeout is how long an incomplete snapshot waits for its next page; 0 is 2 minutes.
	SnapshotTimeout time.Duration

	Log zerolog.Logger // the zero value logs nothing
}

func (c Config) withDefaults() (Config, error) {
	if c.Instance == "" {
		c.Instance = "switchbind"
	}
	if !sourcePattern.MatchString(c.Instance) {
		return c, fmt.Errorf("instance %q: it must be one NATS token of letters, digits, _ and -", c.Instance)
	}
	if !versionPattern.MatchString(c.Version) {
		c.Version = "0.0.0"
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.PinnedTTL == 0 {
		c.PinnedTTL = 6 * time.Second
		if c.Sole {
			c.PinnedTTL = 30 * time.Second
		}
	}
	if c.PinnedTTL < 3*time.Second {
		return c, fmt.Errorf("pinned TTL %v: it must be at least 3s, because pulls that hold a pin last at least 1s", c.PinnedTTL)
	}
	if c.SnapshotTimeout == 0 {
		c.SnapshotTimeout = 2 * time.Minute
	}
	for _, source := range c.SnapshotSources {
		if !sourcePattern.MatchString(source) {
			return c, fmt.Errorf("snapshot source %q: it must be one NATS token of letters, digits, _ and -", source)
		}
	}
	c.Limits = c.Limits.withDefaults()
	return c, nil
}

// versionPattern is what NATS takes as a service's version.
var versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// Bus is one connected switchbind. Its Ledger, Outbox and Signals can be used as soon as [Open] returns; nothing is consumed
// before [Bus.Serve]. All methods are safe for concurrent use.
type Bus struct {
	config   Config
	subjects subjects
	conn     *nats.Conn
	js       jetstream.JetStream
	log      zerolog.Logger

	streams *streams
	ledger  *ledger
	outbox  *outbox
	work    *work

	mu      sync.Mutex
	serving bool
}

// Open makes sure that the server has JetStream and all streams, with the limits of the configuration, and returns what the
// engine needs. It does not own the connection. Opening twice, or from two processes, is the same as once; a stream of the same
// name that somebody else configured in another way is an error that says what differs.
func Open(ctx context.Context, conn *nats.Conn, config Config) (*Bus, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	subjects, err := newSubjects(config.Prefix)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithPublishAsyncTimeout(publishTimeout),
		jetstream.WithDefaultTimeout(publishTimeout)) // making a stream or a consumer syncs too; what must be quick has its own deadline
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	if err := checkJetStream(ctx, js); err != nil {
		return nil, err
	}
	streams, err := openStreams(ctx, js, subjects, config)
	if err != nil {
		return nil, err
	}
	b := &Bus{config: config, subjects: subjects, conn: conn, js: js, log: config.Log, streams: streams}
	b.ledger = &ledger{js: js, kv: streams.ledger, stream: "KV_" + subjects.bucket(), prefix: "$KV." + subjects.bucket() + "."}
	b.outbox = &outbox{js: js, subjects: subjects, instance: config.Instance}
	b.work = newWork(b)
	return b, nil
}

// publishTimeout is how long an acknowledgement of a publication, or the making of a consumer, may take. A busy disk can need seconds.
const publishTimeout = 15 * time.Second

// Ledger is the durable memory of the engine.
func (b *Bus) Ledger() portbinding.Ledger { return b.ledger }

// Outbox publishes results and drift.
func (b *Bus) Outbox() portbinding.Outbox { return b.outbox }

// Signals marks switches dirty.
func (b *Bus) Signals() portbinding.Signals { return b.work }

// SetSwitches says which switches this process may own, in place of those before; the core is woken only for these. It can be
// called before Serve, and at any time while it runs. A switch that is no longer listed is given up, and [Core.Disown] called.
func (b *Bus) SetSwitches(ctx context.Context, names []string) error {
	return b.work.setSwitches(ctx, names)
}

// Serve consumes until ctx ends: bindings, snapshots, API requests and dirty signals are handed to core. When it returns, the core
// is not called any more. It fails early when the consumers cannot be made; a server that goes away later is waited for.
// Call [Bus.Close] afterwards, when the core's workers have stopped.
func (b *Bus) Serve(ctx context.Context, core Core) error {
	b.mu.Lock()
	if b.serving {
		b.mu.Unlock()
		return errors.New("the bus is being served already")
	}
	b.serving = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.serving = false
		b.mu.Unlock()
	}()

	err := b.serve(ctx, core)
	if ctx.Err() != nil {
		return nil // told to stop while it was starting
	}
	return err
}

func (b *Bus) serve(ctx context.Context, core Core) error {
	api, err := startAPI(ctx, b, core)
	if err != nil {
		return err
	}
	defer api.stop()
	inbox, err := startInbox(ctx, b, core)
	if err != nil {
		return err
	}
	defer inbox.stop()
	snapshots, err := startSnapshots(ctx, b, core)
	if err != nil {
		return err
	}
	defer snapshots.stop()
	// Last, so that no worker is woken by a service that then fails to start.
	if err := b.work.start(ctx, core); err != nil {
		return err
	}
	defer b.work.stop()
	b.requestKnownSnapshots(ctx)
	<-ctx.Done()
	return nil
}

// Close gives up every switch, so that another process can take them at once. Call it when nothing is written to switches any
// more. It does not close the connection.
func (b *Bus) Close(ctx context.Context) error { return b.work.release(ctx) }
