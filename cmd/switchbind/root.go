package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

// The exit codes, which scripts rely on.
const (
	exitVerified = 0
	exitFailed   = 1 // failed, refused, or not verified in time
	exitUsage    = 2
	exitNobody   = 3 // no NATS server, or no switchbind behind it, answered
)

const exitHelp = `Exit codes: 0 done and verified, 1 failed or refused, 2 usage, 3 nobody answered.`

// app is one run of the program: its streams and the flags that all verbs share.
type app struct {
	in          io.Reader
	out, errOut io.Writer
	nats        natsFlags
	output      string
	timeout     time.Duration
	makeEngine  engineMaker
	began       bool // a verb was found and its arguments were accepted: what fails from here on is not a usage error
}

// usageError is a mistake in the command line, or in a file that it names.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// failedError is a verb that did its work, said so on its output, and has bad news: there is nothing to add to it.
type failedError struct{ code int }

func (e *failedError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// run executes one command line and returns the exit code.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: in, out: out, errOut: errOut, makeEngine: newEngine}
	root := a.command()
	root.SetArgs(args)
	verb, err := root.ExecuteContextC(ctx)
	return a.report(verb, err)
}

// report says what went wrong and what to do next, and chooses the exit code.
func (a *app) report(verb *cobra.Command, err error) int {
	var told *failedError
	var usage *usageError
	var nobody *events.NobodyError
	var unconnected *events.ConnectError
	var invalid *portbinding.InvalidError
	say := func(format string, args ...any) { fmt.Fprintf(a.errOut, "switchbind: "+format+"\n", args...) }
	switch {
	case err == nil:
		return exitVerified
	case errors.As(err, &told):
		return told.code
	case errors.Is(err, context.Canceled):
		say("interrupted")
		return exitFailed
	case errors.As(err, &nobody):
		say("%v", err)
		return exitNobody
	case errors.As(err, &unconnected):
		say("%v; --nats or $SWITCHBIND_NATS_URL says where it is", err)
		return exitNobody
	case errors.As(err, &usage), !a.began:
		say("%v", err)
		say("see `%s --help`", verb.CommandPath())
		return exitUsage
	case errors.As(err, &invalid):
		say("%v", err)
		return exitFailed
	}
	say("%v", err)
	return exitFailed
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "switchbind",
		Short: "Put bare metal on the right network",
		Long: `switchbind makes physical switch ports what a network controller says they should be, proves it by
reading the switch back, and says so.

` + "`switchbind serve`" + ` is the service. The other verbs ask it, over NATS. ` + "`switchbind lab`" + ` shows it all at work.

` + exitHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkOutput(); err != nil {
				return err
			}
			if a.timeout < 0 {
				return errors.New("--timeout must not be negative")
			}
			a.began = true
			return nil
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	flags := root.PersistentFlags()
	a.nats.add(flags)
	flags.StringVarP(&a.output, "output", "o", "table", "table, json or yaml")
	flags.DurationVar(&a.timeout, "timeout", 0, "how long to wait (default 10s for an answer, 2m for a switch)")
	formats := cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)
	root.RegisterFlagCompletionFunc("output", formats)
	root.AddCommand(
		a.serveCommand(), a.bindCommand(), a.unbindCommand(), a.rebindCommand(), a.listCommand(), a.showCommand(),
		a.switchesCommand(), a.planCommand(), a.reconcileCommand(), a.forgetCommand(), a.releaseCommand(), a.pauseCommand(),
		a.resumeCommand(), a.snapshotCommand(), a.ledgerCommand(), a.configCommand(), a.schemaCommand(), a.versionCommand(),
		a.labCommand(), a.nats.topic(),
	)
	return root
}

// group is a command that only has subcommands: without one, or with a wrong one, it is a usage error.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			var names []string
			for _, child := range children {
				names = append(names, child.Name())
			}
			if len(args) == 0 {
				return fmt.Errorf("say what: %s %s", cmd.CommandPath(), strings.Join(names, "|"))
			}
			return fmt.Errorf("unknown command %q for %q; there are: %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	c.AddCommand(children...)
	return c
}

// within bounds what a verb waits for.
func (a *app) within(ctx context.Context, otherwise time.Duration) (context.Context, context.CancelFunc) {
	if a.timeout > 0 {
		otherwise = a.timeout
	}
	return context.WithTimeout(ctx, otherwise)
}

// How long is waited when --timeout does not say.
const (
	answerTime = 10 * time.Second
	switchTime = 2 * time.Minute
)
