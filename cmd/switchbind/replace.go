package main

import (
	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) replaceCommand() *cobra.Command {
	var because string
	c := &cobra.Command{
		Use:   "replace SWITCH",
		Short: "Say that a switch is new hardware: believe its new key, program it from scratch",
		Long: `Say that the hardware behind a switch's name was exchanged. The host key that was pinned is given up, what
the old hardware carried counts as gone, and everything bound is programmed again. Change switch_id and
fingerprints in the configuration first, and send SIGHUP.`,
		Example:           `  switchbind switches replace leaf1 --because "RMA 4711"`,
		Args:              oneArg,
		ValidArgsFunction: a.completeSwitches,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := portbinding.OperatorRequest{Switch: args[0], Because: because}
			return a.decide(cmd.Context(), r, (*events.Client).Replace)
		},
	}
	c.Flags().StringVar(&because, "because", "", "the reason, for the record")
	return c
}
