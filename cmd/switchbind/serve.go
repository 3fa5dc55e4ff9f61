package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/cmd/switchbind/config"
	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/switchdrivers"
)

func (a *app) serveCommand() *cobra.Command {
	var file string
	var how manner
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the service",
		Long: `Run the service until SIGTERM. Without nats.url in the configuration it runs its own NATS server, which
keeps its data in embedded.data_dir.

SIGHUP reads the file again, without dropping work; a bad new file is refused and the old one stays in force.
Changes of nats, embedded, log and snapshot need a restart.

With --dry-run everything is done but writing to switches: they are read, and what would be sent is logged,
published and shown by ` + "`switchbind plan`" + `.`,
		Example: `  switchbind serve --config /etc/switchbind/config.yaml
  switchbind serve --config config.yaml --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("which configuration? Give --config FILE; `switchbind help config` shows what belongs into it")
			}
			return a.serve(cmd.Context(), file, how)
		},
	}
	c.Flags().StringVar(&file, "config", os.Getenv("SWITCHBIND_CONFIG"), "configuration file [$SWITCHBIND_CONFIG]")
	c.Flags().BoolVar(&how.dryRun, "dry-run", false, "never write to a switch")
	c.Flags().BoolVar(&how.acceptLosses, "accept-losses", false, "start although the configuration cuts off what is bound; it is unbound")
	c.MarkFlagFilename("config", "yaml", "yml")
	return c
}

// serve runs the service until ctx ends.
func (a *app) serve(ctx context.Context, file string, how manner) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from the first moment: an early SIGHUP must not be the end
	defer signal.Stop(hangup)

	c, inventory, err := load(file)
	if err != nil {
		return err
	}
	paceCollector(len(inventory.Names()))
	log := newLog(a.errOut, c.Log)
	for _, warning := range c.Warnings {
		log.Warn().Msg(warning)
	}
	s, err := start(ctx, c, inventory, a.makeEngine, how, log)
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return nil // stopped before it was ready
	case err != nil:
		return err
	}
	log.Info().Str("nats", s.where).Strs("switches", inventory.Names()).Bool("dry_run", how.dryRun).Str("version", thisBuild().Version).
		Msg("ready")
	for {
		select {
		case <-hangup:
			s.reload(ctx, file)
		case <-ctx.Done():
			log.Info().Msg("stopping")
			s.stop()
			log.Info().Msg("stopped")
			return nil
		case err := <-s.failed:
			s.stop()
			return err
		}
	}
}

// largeSite is the number of switches from which on the memory of a service is worth more than its time.
const largeSite = 50

// paceCollector sets how often garbage is collected, where GOGC does not. In a large site much is held and little of it is garbage:
// collecting early costs little time and saves much memory. In a small one the heap is a few megabytes, and collecting it each time
// that it doubles is what the slowest one in a hundred events waits for.
func paceCollector(switches int) {
	switch {
	case os.Getenv("GOGC") != "":
	case switches > largeSite:
		debug.SetGCPercent(30)
	default:
		debug.SetGCPercent(400)
	}
}

// service is a running switchbind: everything that start put together, and stop takes apart in the opposite order.
type service struct {
	config *config.Config
	log    zerolog.Logger
	where  string // the NATS server, for the log
	url    string // the same, for clients; "" where only this process reaches it

	engine  engine
	bus     *events.Bus
	failed  chan error // consuming ended though nobody asked it to
	closers []func()   // run last to first
}

// start puts the service together:
//
//	configuration ──> inventory ──────────────┐
//	NATS server ──> connection ──> bus ───────┴──> engine ──> bus.Serve(engine)
//
// The ledger is read before the first message is; nothing is consumed before the engine knows all that was known when it last
// stopped. After an error nothing runs.
func start(ctx context.Context, c *config.Config, inventory *switchdrivers.Inventory, makeEngine engineMaker, how manner,
	log zerolog.Logger) (_ *service, err error) {
	s := &service{config: c, log: log, failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	conn, embedded, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	s.bus, err = events.Open(ctx, conn, events.Config{Prefix: c.NATS.Prefix, Version: thisBuild().Version, Sole: embedded,
		SnapshotSources: c.Snapshot.Sources, Log: log})
	if err != nil {
		return nil, err
	}
	env := switchdrivers.Environment{Pins: newPins(filepath.Join(c.Embedded.DataDir, "host-keys"))}
	if log.GetLevel() <= zerolog.DebugLevel {
		env.Trace = func(direction, text string) { log.Debug().Str("direction", direction).Str("text", text).Msg("switch") }
	}
	if s.engine, err = makeEngine(inventory, s.bus, env, c.Snapshot, how, log); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if err := s.bus.Close(ctx); err != nil {
			log.Warn().Err(err).Msg("switches could not be given up; another process takes them over when the pins have run out")
		}
	}, s.engine.Close)
	if err := s.engine.Start(ctx); err != nil {
		return nil, err
	}
	if err := s.bus.SetSwitches(ctx, inventory.Names()); err != nil {
		return nil, err
	}
	s.consume()
	return s, s.answering(ctx, conn)
}

// stopTime bounds what a stop waits for NATS.
const stopTime = 10 * time.Second

// connect starts the embedded NATS server or connects to the configured one.
func (s *service) connect(ctx context.Context) (conn *nats.Conn, embedded bool, err error) {
	n := s.config.NATS
	password, err := switchdrivers.Credentials{PasswordFile: n.PasswordFile, PasswordEnv: n.PasswordEnv}.Password()
	if err != nil {
		return nil, false, fmt.Errorf("nats: %w", err)
	}
	token, err := switchdrivers.Credentials{PasswordFile: n.TokenFile}.Password()
	if err != nil {
		return nil, false, fmt.Errorf("nats: token file: %w", err)
	}
	if n.URL == "" {
		server, err := events.StartEmbedded(events.EmbeddedOptions{DataDir: filepath.Join(s.config.Embedded.DataDir, "nats"),
			Listen: s.config.Embedded.Listen, Username: n.User, Password: password, Token: token})
		if err != nil {
			return nil, false, err
		}
		s.closers = append(s.closers, server.Shutdown)
		s.url = server.URL()
		s.where = "embedded, " + or(s.url)
		if conn, err = server.Connect(ctx, "switchbind"); err != nil {
			return nil, false, err
		}
		s.closers = append(s.closers, conn.Close)
		return conn, true, nil
	}
	s.where, s.url = n.URL, n.URL
	options := events.ConnectOptions{URLs: splitURLs(n.URL), Name: "switchbind", Username: n.User, Password: password, Token: token,
		CredsFile: n.CredsFile, NkeyFile: n.NKeyFile, OnStatus: s.connectionChanged,
		TLS: events.ConnectTLS{CAFile: n.TLS.CA, CertFile: n.TLS.Cert, KeyFile: n.TLS.Key, ServerName: n.TLS.ServerName}}
	if n.TLS != (config.NATSTLS{MinVersion: n.TLS.MinVersion}) {
		options.TLS.MinVersion = n.TLS.MinVersion // alone it would ask for TLS where none is wanted
	}
	if conn, err = events.Connect(ctx, options); err != nil {
		return nil, false, err
	}
	s.closers = append(s.closers, conn.Close)
	return conn, false, nil
}

func (s *service) connectionChanged(err error) {
	if err != nil {
		s.log.Warn().Err(err).Msg("NATS connection lost; nothing new is written to switches until it is back")
		return
	}
	s.log.Info().Msg("NATS connection is back")
}

// consume begins to take messages. What ends it early is an error for serve.
func (s *service) consume() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := s.bus.Serve(ctx, s.engine)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("consuming from NATS ended")
		}
		s.failed <- err
	}()
	s.closers = append(s.closers, func() { cancel(); <-done })
}

// answering returns when the service answers requests: who is told that it is ready may ask at once.
func (s *service) answering(ctx context.Context, conn *nats.Conn) error {
	client, err := events.NewClient(conn, s.config.NATS.Prefix)
	if err != nil {
		return err
	}
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		one, cancel := context.WithTimeout(ctx, answerTime)
		_, err := client.Switches(one)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case err := <-s.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop ends everything in the opposite order: first nothing new is taken, then the workers finish, then ownership is given up.
func (s *service) stop() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	s.closers = nil
}

// reload puts a changed configuration file in force. Whatever is wrong with it, the old one stays.
func (s *service) reload(ctx context.Context, file string) {
	const refused = "the new configuration is refused, the old one stays in force"
	c, inventory, err := load(file)
	if err != nil {
		s.log.Error().Err(err).Msg(refused)
		return
	}
	if err := s.engine.SetInventory(ctx, inventory); err != nil {
		s.log.Error().Err(err).Msg(refused)
		return
	}
	if err := s.bus.SetSwitches(ctx, inventory.Names()); err != nil {
		s.log.Error().Err(err).Msg("the new configuration is in force, but new switches cannot be owned yet; send SIGHUP again")
	}
	for _, warning := range c.Warnings {
		s.log.Warn().Msg(warning)
	}
	if old := s.config; c.NATS != old.NATS || c.Embedded != old.Embedded || c.Log != old.Log || !sameSnapshot(c.Snapshot, old.Snapshot) {
		s.log.Warn().Msg("changes of nats, embedded, log and snapshot take effect at the next restart")
	}
	s.log.Info().Strs("switches", inventory.Names()).Msg("configuration reloaded")
}

func sameSnapshot(a, b config.Snapshot) bool {
	return a.RemoveAtMost == b.RemoveAtMost && a.RemoveShareAtMost == b.RemoveShareAtMost && slices.Equal(a.Sources, b.Sources)
}
