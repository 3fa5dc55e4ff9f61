package main

import (
	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) forgetCommand() *cobra.Command {
	var because string
	var yes bool
	c := &cobra.Command{
		Use:   "forget SWITCH[/PORT] --because TEXT",
		Short: "Give up what a dead switch, or one port of it, still holds",
		Long: `Drop from the ledger what a switch that is gone for good still holds, so that its VLANs can be given to
others and the switch can be taken out of the configuration. What may stay exposed is shown first, and asked
about. Who did it and why is recorded.`,
		Example: `  switchbind forget leaf9 --because "burnt, scrapped on Monday"
  switchbind forget leaf1/Ethernet7 --because "line card pulled" --yes`,
		Args:              oneArg,
		ValidArgsFunction: a.completeSwitches,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := portbinding.OperatorRequest{Because: because}
			r.Switch, r.Port = splitPlace(args[0])
			if because == "" {
				return usagef("say why: --because TEXT")
			}
			return a.decideTwice(cmd.Context(), r, yes, (*events.Client).Forget)
		},
	}
	c.Flags().StringVar(&because, "because", "", "the reason, for the record (required)")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}
