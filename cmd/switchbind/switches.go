package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) switchesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "switches",
		Short: "List the switches, how they are, and what is to be known about them",
		Example: `  switchbind switches
  switchbind switches -o json | jq '.[] | select(.unsaved)'
  switchbind switches replace leaf1`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 { // cobra would take a mistyped subcommand for an argument, too
				return fmt.Errorf("unknown command %q for %q; there is: replace", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			views, err := ask(a, cmd.Context(), func(ctx context.Context, c *events.Client) ([]portbinding.SwitchView, error) {
				return c.Switches(ctx)
			})
			if err != nil {
				return err
			}
			if views == nil {
				views = []portbinding.SwitchView{}
			}
			return a.print(views, func(p *page) { switchTable(p, views, time.Now()) })
		},
	}
	c.AddCommand(a.replaceCommand())
	return c
}

func switchTable(p *page, views []portbinding.SwitchView, now time.Time) {
	if len(views) == 0 {
		p.line("no switches: add some under `switches` in the configuration and send the service a SIGHUP")
		return
	}
	var rows [][]string
	for _, v := range views {
		saved := "saved"
		if v.Unsaved {
			saved = "unsaved"
		}
		health := v.Health
		if v.RetryAt != nil {
			health += ", again " + ago(v.RetryAt, now)
		}
		rows = append(rows, []string{v.Name, v.Address, v.Platform, health, fmt.Sprint(v.Bound), fmt.Sprint(v.Pending),
			fmt.Sprint(v.Leaving), saved, ago(v.LastRead, now)})
	}
	p.rows([]string{"SWITCH", "ADDRESS", "PLATFORM", "HEALTH", "BOUND", "PENDING", "LEAVING", "CONFIG", "READ"}, rows)
	for _, v := range views {
		if v.Message != "" && (v.Paused == nil || v.Message != v.Paused.Because) {
			p.line("%s: %s", v.Name, v.Message)
		}
		if v.Paused != nil {
			p.line("%s: paused by %s %s: %s; `switchbind resume %s` ends it", v.Name, v.Paused.By, ago(&v.Paused.At, now),
				v.Paused.Because, v.Name)
		}
		for _, h := range v.Unexplained {
			p.line("%s: nothing explains VLANs %s on %s: bind the port to adopt it, or `switchbind release %s/%s --because TEXT`",
				v.Name, h.VLANs.String(), h.Port, v.Name, h.Port)
		}
		for _, w := range v.Warnings {
			p.line("%s: warning: %s", v.Name, w)
		}
	}
}
