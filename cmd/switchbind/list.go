package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) listCommand() *cobra.Command {
	var filter portbinding.ListFilter
	var status string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the bindings and how far they have come",
		Example: `  switchbind list
  switchbind list --switch leaf1 --status failed
  switchbind list -o json | jq '.[] | select(.status != "bound")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter.Status = portbinding.Status(status)
			if status != "" && !slices.Contains(statuses, status) {
				return usagef("--status is one of %v, not %q", statuses, status)
			}
			views, err := ask(a, cmd.Context(), func(ctx context.Context, c *events.Client) ([]portbinding.BindingView, error) {
				return c.List(ctx, filter)
			})
			if err != nil {
				return err
			}
			if views == nil {
				views = []portbinding.BindingView{}
			}
			return a.print(views, func(p *page) {
				if len(views) == 0 && (filter.Switch != "" || filter.Status != "" || filter.Network != "") {
					p.line("no bindings match; `switchbind list` shows all there are")
					return
				}
				bindingTable(p, views)
			})
		},
	}
	c.Flags().StringVar(&filter.Switch, "switch", "", "only bindings with a port of this switch")
	c.Flags().StringVar(&status, "status", "", "only bindings of this status: bound, released, pending, failed, refused")
	c.Flags().StringVar(&filter.Network, "network", "", "only bindings of this network, by id or name")
	c.Flags().BoolVar(&filter.Gone, "gone", false, "also bindings that were released or deleted")
	c.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(statuses, cobra.ShellCompDirectiveNoFileComp))
	c.RegisterFlagCompletionFunc("switch", a.completeSwitches)
	return c
}

var statuses = []string{"bound", "released", "pending", "failed", "refused"}

func bindingTable(p *page, views []portbinding.BindingView) {
	if len(views) == 0 {
		p.line("no bindings")
		return
	}
	var rows [][]string
	for _, v := range views {
		status := string(v.Status)
		if v.Overridden {
			status += " (by hand)"
		}
		rows = append(rows, []string{v.PortID, short(or(networkWords(v.Network)), 12), vlanWords(v.VLAN), status,
			or(firstPlace(v.Links)), string(v.Reason)})
	}
	p.rows([]string{"PORT", "NETWORK", "VLAN", "STATUS", "SWITCH PORT", "REASON"}, rows)
}
