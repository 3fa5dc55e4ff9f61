package main

import (
	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) reconcileCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reconcile [SWITCH]",
		Short: "Read a switch, or all, now, and repair what differs",
		Example: `  switchbind reconcile
  switchbind reconcile leaf1`,
		Args:              oneArgAtMost,
		ValidArgsFunction: a.completeSwitches,
		RunE: func(cmd *cobra.Command, args []string) error {
			var r portbinding.OperatorRequest
			if len(args) == 1 {
				r.Switch = args[0]
			}
			return a.decide(cmd.Context(), r, (*events.Client).Reconcile)
		},
	}
}
