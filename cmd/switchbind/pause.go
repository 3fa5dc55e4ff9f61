package main

import (
	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) pauseCommand() *cobra.Command {
	var because string
	c := &cobra.Command{
		Use:   "pause SWITCH --because TEXT",
		Short: "Write nothing to a switch until it is resumed",
		Long: `Stop all writing to a switch, for maintenance. What is asked of it meanwhile waits, and is done when it is
resumed. A change that is being written is finished first.`,
		Example:           `  switchbind pause leaf1 --because "firmware upgrade until noon"`,
		Args:              oneArg,
		ValidArgsFunction: a.completeSwitches,
		RunE: func(cmd *cobra.Command, args []string) error {
			if because == "" {
				return usagef("say why: --because TEXT")
			}
			return a.decide(cmd.Context(), portbinding.OperatorRequest{Switch: args[0], Because: because}, (*events.Client).Pause)
		},
	}
	c.Flags().StringVar(&because, "because", "", "the reason, shown to whoever wonders (required)")
	return c
}

func (a *app) resumeCommand() *cobra.Command {
	var because string
	c := &cobra.Command{
		Use:               "resume SWITCH",
		Short:             "End a pause",
		Example:           `  switchbind resume leaf1`,
		Args:              oneArg,
		ValidArgsFunction: a.completeSwitches,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.decide(cmd.Context(), portbinding.OperatorRequest{Switch: args[0], Because: because}, (*events.Client).Resume)
		},
	}
	c.Flags().StringVar(&because, "because", "", "the reason, for the record")
	return c
}
