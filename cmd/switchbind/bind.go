package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) bindCommand() *cobra.Command {
	var w wish
	var noWait bool
	c := &cobra.Command{
		Use:   "bind",
		Short: "Put a switch port on a network by hand, and wait until it is verified",
		Long: `Publish a binding under the source cli-<user> and wait for its result. Where a controller has bound the
same port, this one lies on top of it, and ends when the controller changes its mind.

What to bind is said by flags, or by a file with the data of a binding or a whole event (source, revision and
digest are replaced: it is you who speaks).

` + exitHelp,
		Example: `  switchbind bind --link leaf1/Ethernet1 --segment physnet1:110
  switchbind bind --link leaf1/Ethernet2 --link leaf2/Ethernet2 --segment physnet1:110 --trunk-vlan 201,202
  switchbind bind --file binding.json --no-wait`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var b portbinding.Binding
			var err error
			switch {
			case w.file != "" && w.given():
				return usagef("--file says everything; leave the other flags out")
			case w.file != "":
				b, err = a.readBinding(w.file)
			default:
				b, err = w.binding()
			}
			if err != nil {
				return err
			}
			return a.bind(cmd.Context(), b, noWait)
		},
	}
	c.Flags().SortFlags = false
	w.addMove(c.Flags())
	c.Flags().StringVar(&w.portID, "port-id", "", "id of the binding, a UUID (default: a new one)")
	c.Flags().StringVar(&w.mac, "mac", "", "MAC address of the node")
	c.Flags().StringVar(&w.file, "file", "", "JSON file, - for standard input")
	c.Flags().BoolVar(&noWait, "no-wait", false, "publish only; it is worked on even if the service starts later")
	return c
}

// bind publishes a manual binding. While waiting is wanted, the service is asked first: when nobody is there nothing is
// published, because it would be done at a time when nobody expects it any more.
func (a *app) bind(ctx context.Context, b portbinding.Binding, noWait bool) error {
	ctx, cancel := a.within(ctx, switchTime)
	defer cancel()
	c, disconnect, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer disconnect()
	if noWait {
		stamp(&b, nil, time.Now())
		return a.publishOnly(ctx, c, b)
	}
	known, err := lookUp(ctx, c, b.PortID)
	if err != nil {
		return invalidIsUsage(err)
	}
	stamp(&b, known, time.Now())
	if known != nil && known.State == portbinding.Present && !known.Overridden && !isManual(known.Source) {
		a.progress("%s has a binding of port %s; this lies on top until that changes", known.Source, b.PortID)
	}
	return a.publish(ctx, c, b)
}

// lookUp returns what the service knows of a port, nil when it knows nothing.
func lookUp(ctx context.Context, c *events.Client, portID string) (*portbinding.BindingView, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	view, err := c.Show(ctx, portID)
	var unknown *portbinding.UnknownError
	switch {
	case errors.As(err, &unknown):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &view, nil
}

func isManual(source string) bool { return portbinding.Message{Source: source}.Manual() }
