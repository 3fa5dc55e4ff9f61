package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/cmd/switchbind/config"
	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/fixtures/lab"
)

// labOptions are the flags of lab.
type labOptions struct {
	keep    bool
	verbose bool
	logFile string
	// before, where set, is called before each step: tests make switches misbehave there.
	before func(step string, n *lab.Network)
}

func (a *app) labCommand() *cobra.Command {
	var o labOptions
	var asJSON bool
	c := &cobra.Command{
		Use:   "lab",
		Short: "See it work: virtual switches, servers and the service in one process",
		Long: `Start a NATS server, two virtual switches (one by SSH, one by gNMI) with VMs and servers behind them, and the
real service; bind, move and unbind servers as a network controller does; and measure after each step, in Ethernet
frames through the switches, who reaches whom. Nothing is needed and nothing stays: everything listens on loopback
and keeps its files in a temporary directory.

All the while every machine keeps pinging all others. A frame that reaches a machine of another segment, for however
short a time, makes the lab fail.

Exit codes: 0 every table is as it should be, 1 something is not: it says which row.`,
		Example: `  switchbind lab
  switchbind lab --keep      # leave it running, to play with
  switchbind lab --json | jq '.tables[-1].rows[] | {machine, reaches}'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				if cmd.Flags().Changed("output") && a.output != "json" {
					return usagef("--json and --output %s contradict each other", a.output)
				}
				a.output = "json"
			}
			return a.lab(cmd.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.keep, "keep", false, "leave everything running until Ctrl-C, and say how to log in")
	c.Flags().BoolVar(&asJSON, "json", false, "the same as --output json")
	c.Flags().BoolVar(&o.verbose, "verbose", false, "show the service's log")
	c.Flags().StringVar(&o.logFile, "log", "", "write the service's log to this file")
	c.MarkFlagFilename("log")
	return c
}

// labTime is how long the whole scenario may take; it takes a second or two.
const labTime = time.Minute

// lab runs the scenario and prints what came of it.
func (a *app) lab(ctx context.Context, o labOptions) error {
	dir, err := os.MkdirTemp("", "switchbind-lab-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, closeLog, err := a.labLog(o)
	if err != nil {
		return err
	}
	defer closeLog()

	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	run := &labRun{app: a, options: o, show: newSteps(a.errOut, !o.verbose), end: end, stopped: make(chan struct{})}
	defer run.stop()
	limited, cancel := a.within(ctx, labTime)
	defer cancel()
	err = run.all(limited, dir, log)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx) // the person has had enough, or the service ended by itself
	case run.client == nil:
		return err // it did not even start
	}
	report := run.report()
	if o.keep {
		report.Access = run.access()
	}
	if err := a.print(report, func(p *page) { labPage(p, report) }); err != nil {
		return err
	}
	for _, wrong := range report.Wrong {
		fmt.Fprintf(a.errOut, "switchbind: %s\n", clean(wrong))
	}
	if o.keep {
		if err := run.keep(ctx); err != nil {
			return err
		}
	}
	if !report.OK {
		return &failedError{exitFailed}
	}
	return nil
}

// labLog opens what the service logs to.
func (a *app) labLog(o labOptions) (io.Writer, func(), error) {
	switch {
	case o.logFile != "":
		f, err := os.OpenFile(o.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, nil, &usageError{err}
		}
		if o.verbose {
			return io.MultiWriter(f, a.errOut), func() { f.Close() }, nil
		}
		return f, func() { f.Close() }, nil
	case o.verbose:
		return a.errOut, func() {}, nil
	}
	return io.Discard, func() {}, nil
}

// start brings up switches, machines and the service: the same [start] as that of `switchbind serve`, from a configuration file,
// with every switch behind a real socket.
func (r *labRun) start(ctx context.Context, dir string, out io.Writer) (err error) {
	if r.network, err = lab.Start(dir); err != nil {
		return err
	}
	r.network.Begin("start")
	c, inventory, err := load(r.network.ConfigFile())
	if err != nil {
		return err
	}
	log := newLog(out, config.Log{Level: c.Log.Level})
	for _, warning := range c.Warnings {
		log.Warn().Msg(warning)
	}
	if r.service, err = start(ctx, c, inventory, r.app.makeEngine, manner{}, log); err != nil {
		return err
	}
	r.watch.Go(func() {
		select {
		case err := <-r.service.failed:
			r.end(err)
		case <-r.stopped:
		}
	})
	// The scenario is a client like every other, from outside.
	conn, err := events.Connect(ctx, events.ConnectOptions{URLs: []string{r.service.url}, Name: "switchbind lab"})
	if err != nil {
		return err
	}
	r.closers = append(r.closers, conn.Close)
	r.client, err = events.NewClient(conn, c.NATS.Prefix)
	return err
}

// stop takes everything down: whoever asks before whoever answers.
func (r *labRun) stop() {
	close(r.stopped)
	r.watch.Wait()
	for _, end := range r.closers {
		end()
	}
	if r.service != nil {
		r.service.stop()
	}
	if r.network != nil {
		r.network.Close()
	}
}

// keep leaves everything running until ctx ends. Whenever a switch changes, it is measured anew who reaches whom.
func (r *labRun) keep(ctx context.Context) error {
	r.network.EndWatch()
	changed := make(chan struct{}, 1)
	cancel := r.network.OnChange(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer cancel()
	out := r.app.errOut
	last := matrixText(r.network.Measure(""), false)
	fmt.Fprintln(out, "\nRunning until Ctrl-C. Whenever a switch changes, it is measured anew who reaches whom.")
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(out)
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		case <-changed:
		}
		if now := matrixText(r.network.Measure(""), false); now != last {
			fmt.Fprintf(out, "\n%s  who reaches whom now:\n%s", time.Now().Format(time.TimeOnly), now)
			last = now
		}
	}
}

// labAccess says how to get at everything while the lab is kept running.
type labAccess struct {
	NATS     string        `json:"nats_url"`
	Config   string        `json:"config"`
	Username string        `json:"username"`
	Password string        `json:"password"`
	Switches []labSwitchIn `json:"switches"`
	Try      []string      `json:"try"`
}

type labSwitchIn struct {
	Switch string `json:"switch"`
	SSH    string `json:"ssh"`
	GNMI   string `json:"gnmi,omitempty"`
	CAFile string `json:"ca_file,omitempty"`
}

func (r *labRun) access() *labAccess {
	in := &labAccess{NATS: r.service.url, Config: r.network.ConfigFile(), Username: lab.Username, Password: lab.Password}
	for _, at := range r.network.Access() {
		s := labSwitchIn{Switch: at.Switch, SSH: fmt.Sprintf("ssh -p %d -o UserKnownHostsFile=%s %s@%s", at.SSH.Port, r.network.KnownHosts(),
			lab.Username, at.SSH.IP)}
		if at.GNMI != nil {
			s.GNMI, s.CAFile = at.GNMI.String(), r.network.CAFile()
		}
		in.Switches = append(in.Switches, s)
	}
	me, iron1 := programName(), r.network.Machine("iron-1")
	for _, line := range []string{
		"list", "switches",
		fmt.Sprintf("bind --link %s/%s --segment %s:110 --network tenant-a", iron1.Switch, iron1.Port, lab.PhysicalNetwork),
		fmt.Sprintf("rebind leaf2/Ethernet2 --segment %s:110 --network tenant-a", lab.PhysicalNetwork),
		"show leaf2/Ethernet2", "unbind leaf2/Ethernet1", "plan",
	} {
		in.Try = append(in.Try, me+" "+line)
	}
	return in
}

// programName is how the person started this program, so that the examples can be copied.
func programName() string {
	if exe, err := os.Executable(); err == nil && builtByGoRun(exe) {
		return "go run ./cmd/switchbind"
	}
	return os.Args[0]
}

// goRunCache is a directory of the build cache, where `go run` has kept what it runs since Go 1.24.
var goRunCache = regexp.MustCompile(`^[0-9a-f]{64}-d$`)

// builtByGoRun reports whether a program lies where `go run` puts it: a place that nobody wants to type.
func builtByGoRun(exe string) bool {
	dir := filepath.Base(filepath.Dir(exe))
	return dir == "exe" || goRunCache.MatchString(dir)
}
