package main

import (
	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) releaseCommand() *cobra.Command {
	var because string
	c := &cobra.Command{
		Use:   "release SWITCH/PORT --because TEXT",
		Short: "Make a port idle whose VLANs nothing explains",
		Long: `Put a port into the idle state that was found carrying VLANs no binding accounts for. The quarantine of
these VLANs ends when the port reads back as idle. To keep the port as it is, bind it instead.`,
		Example: `  switchbind release leaf1/Ethernet7 --because "left over from the old tool"`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := portbinding.OperatorRequest{Because: because}
			r.Switch, r.Port = splitPlace(args[0])
			switch {
			case r.Port == "":
				return usagef("which port? Write %s/PORT", r.Switch)
			case because == "":
				return usagef("say why: --because TEXT")
			}
			return a.decide(cmd.Context(), r, (*events.Client).Release)
		},
	}
	c.Flags().StringVar(&because, "because", "", "the reason, for the record (required)")
	return c
}
