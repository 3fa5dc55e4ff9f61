package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) rebindCommand() *cobra.Command {
	var w wish
	var noWait, controller bool
	c := &cobra.Command{
		Use:   "rebind PORT",
		Short: "Apply and verify again what is bound, or move it",
		Long: `Without flags: read the switches of a binding again, repair what differs, verify, and say so.

With --segment, --network, --link or --trunk-vlan: move it. What the flags do not mention stays. Over a
controller's binding this is a layer on top, which ends when the controller changes its mind, or with
--controller.

` + portHelp + `

` + exitHelp,
		Example: `  switchbind rebind leaf1/Ethernet1
  switchbind rebind b16e --segment physnet1:120
  switchbind rebind b16e --link leaf2/Ethernet7
  switchbind rebind b16e --controller`,
		Args:              oneArg,
		ValidArgsFunction: a.completePorts,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.within(cmd.Context(), switchTime)
			defer cancel()
			c, disconnect, err := a.connect(ctx)
			if err != nil {
				return err
			}
			defer disconnect()
			view, err := find(ctx, c, args[0])
			if err != nil {
				return err
			}
			switch {
			case controller && w.given():
				return usagef("--controller takes back what was changed by hand: it cannot be moved at the same time")
			case !w.given():
				return a.again(ctx, c, view.PortID, controller, noWait)
			}
			if view.Binding == nil || view.Binding.State != portbinding.Present {
				return usagef("port %s is not bound, there is nothing to move: use `switchbind bind --port-id %s`", view.PortID, view.PortID)
			}
			b := *view.Binding
			if err := w.move(&b); err != nil {
				return err
			}
			stamp(&b, &view, time.Now())
			if noWait {
				return a.publishOnly(ctx, c, b)
			}
			return a.publish(ctx, c, b)
		},
	}
	c.Flags().SortFlags = false
	w.addMove(c.Flags())
	c.Flags().BoolVar(&controller, "controller", false, "take back what was changed by hand: what the controller wants is in force again")
	c.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the result")
	return c
}

// again asks that a binding be applied and verified once more.
func (a *app) again(ctx context.Context, c *events.Client, portID string, dropManual, noWait bool) error {
	watch, err := c.WatchResults(portID)
	if err != nil {
		return err
	}
	defer watch.Close()
	request := portbinding.RebindRequest{PortID: portID, RequestID: events.NewRequestID(), By: person(), DropManual: dropManual}
	if err := c.Rebind(ctx, request); err != nil {
		return err
	}
	if noWait {
		return a.print(request, func(p *page) {
			p.line("asked, not waited for: `switchbind show %s` tells what became of it", portID)
		})
	}
	a.progress("asked, waiting for the switches")
	return a.await(ctx, watch, portID, func(r portbinding.Result) bool { return r.RequestID == request.RequestID })
}
