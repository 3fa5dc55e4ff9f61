package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) snapshotCommand() *cobra.Command {
	accept := &cobra.Command{
		Use:   "accept [SOURCE]",
		Short: "Let a held snapshot do what it says",
		Long: `Let a controller's snapshot that was held, because it would remove too much or its revisions are lower than
known ones, do what it says. SOURCE is needed when several are held.`,
		Example: `  switchbind snapshot accept neutron-RegionOne`,
		Args:    oneArgAtMost,
		RunE: func(cmd *cobra.Command, args []string) error {
			source := ""
			if len(args) == 1 {
				source = args[0]
			}
			report, err := ask(a, cmd.Context(), func(ctx context.Context, c *events.Client) (portbinding.SnapshotReport, error) {
				return c.AcceptSnapshot(ctx, source, person())
			})
			if err != nil {
				return err
			}
			return a.print(report, func(p *page) {
				p.line("snapshot %s of %s: %d changed, %d removed", report.ID, report.Source, report.Changed, len(report.Removed))
				if report.Message != "" {
					p.line("%s", report.Message)
				}
				for _, id := range report.Removed {
					p.line("  removed %s", id)
				}
			})
		},
	}
	return group("snapshot", "Decide about a controller's snapshots", accept)
}
