package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) unbindCommand() *cobra.Command {
	var noWait bool
	c := &cobra.Command{
		Use:   "unbind PORT",
		Short: "Take a binding off its switch ports by hand, and wait until they are verified idle",
		Long: `Publish that a port is unbound, under the source cli-<user>, and wait until its switch ports read back as
idle. Over a controller's binding this lasts until the controller changes it.

` + portHelp + `

` + exitHelp,
		Example: `  switchbind unbind b16e0dcd-67e8-4442-9a66-4d1692f5846f
  switchbind unbind leaf1/Ethernet1`,
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
			b := portbinding.Binding{PortID: view.PortID, State: portbinding.Absent}
			stamp(&b, &view, time.Now())
			if noWait {
				return a.publishOnly(ctx, c, b)
			}
			return a.publish(ctx, c, b)
		},
	}
	c.Flags().BoolVar(&noWait, "no-wait", false, "publish only")
	return c
}
