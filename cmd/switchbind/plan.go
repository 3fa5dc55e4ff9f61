package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) planCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "plan [SWITCH]",
		Short: "Show what would be sent to the switches now, and why; nothing is sent",
		Long: `Show what would be sent to the switches now: line by line, or as a gNMI SetRequest, exactly as it would
go, with the reason before each part. With --bind, as if these bindings had arrived. Nothing is sent, and
nothing is kept.`,
		Example: `  switchbind plan
  switchbind plan leaf1
  switchbind plan --bind binding.json`,
		Args:              oneArgAtMost,
		ValidArgsFunction: a.completeSwitches,
		RunE: func(cmd *cobra.Command, args []string) error {
			var request portbinding.PlanRequest
			if len(args) == 1 {
				request.Switch = args[0]
			}
			if file != "" {
				var err error
				if request.Bindings, err = a.readBindings(file); err != nil {
					return err
				}
			}
			ctx, cancel := a.within(cmd.Context(), switchTime) // the switches are read
			defer cancel()
			c, disconnect, err := a.connect(ctx)
			if err != nil {
				return err
			}
			defer disconnect()
			plans, err := c.Plan(ctx, request)
			if err != nil {
				return err
			}
			return a.showPlans(plans)
		},
	}
	c.Flags().StringVar(&file, "bind", "", "JSON file with a binding, an event, or a list of them; - for standard input")
	return c
}

// showPlans prints plans. A switch that could not be read has no plan: that is a failure, after everything was shown.
func (a *app) showPlans(plans []portbinding.PlanView) error {
	if plans == nil {
		plans = []portbinding.PlanView{}
	}
	if err := a.print(plans, func(p *page) { planPage(p, plans) }); err != nil {
		return err
	}
	for _, plan := range plans {
		if plan.Error != "" {
			return &failedError{exitFailed}
		}
	}
	return nil
}

func planPage(p *page, plans []portbinding.PlanView) {
	if len(plans) == 0 {
		p.line("nothing would be sent: every switch is as it should be")
		return
	}
	for i, plan := range plans {
		if i > 0 {
			p.line("")
		}
		switch {
		case plan.Error != "":
			p.line("%s (%s): no plan: %s", plan.Switch, plan.Platform, plan.Error)
		case len(plan.Script) == 0:
			p.line("%s (%s): nothing would be sent", plan.Switch, plan.Platform)
		default:
			p.line("%s (%s): would be sent:", plan.Switch, plan.Platform)
		}
		for _, l := range plan.Script {
			if l.Why != "" {
				p.line("  # %s", l.Why)
			}
			for text := range strings.SplitSeq(strings.TrimRight(l.Text, "\n"), "\n") { // a gNMI request is one line of many
				p.line("  %s", text)
			}
		}
		if len(plan.Waiting) > 0 {
			p.line("  waiting, not part of this:")
		}
		for _, w := range plan.Waiting {
			p.line("  - %s: %s %s", w.Port, string(w.Status), why(w.Reason, w.Message))
		}
	}
}
