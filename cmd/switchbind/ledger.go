package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) ledgerCommand() *cobra.Command {
	export := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write the ledger to a file or standard output, as a backup",
		Long: `Write the whole ledger as JSON. It alone knows what is not yet verified out and which VLANs are ours: keep a
recent copy somewhere else. It holds no secrets.`,
		Example: `  switchbind ledger export ledger-$(date +%F).json`,
		Args:    oneArgAtMost,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.timeout = cmp.Or(a.timeout, switchTime) // a large ledger takes its time
			ledger, err := ask(a, cmd.Context(), func(ctx context.Context, c *events.Client) (portbinding.LedgerExport, error) {
				return c.Export(ctx)
			})
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return writeJSON(a.out, ledger)
			}
			var text bytes.Buffer
			if err := writeJSON(&text, ledger); err != nil {
				return err
			}
			if err := writeFile(args[0], text.Bytes()); err != nil {
				return err
			}
			a.progress("%s and %s written to %s", plural(len(ledger.Entries), "binding"),
				plural(len(ledger.Switches), "switch record"), args[0])
			return nil
		},
	}
	var yes bool
	restore := &cobra.Command{
		Use:   "import FILE",
		Short: "Put an exported ledger back",
		Long: `Put an exported ledger back after the store was lost. What the service has learnt since wins over what the
file says.`,
		Example: `  switchbind ledger import ledger-2026-11-22.json`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readFile(args[0], 1<<30)
			if err != nil {
				return err
			}
			var ledger portbinding.LedgerExport
			if err := json.Unmarshal(text, &ledger); err != nil {
				return usagef("%s is not an exported ledger: %w", args[0], err)
			}
			if ledger.Format != 1 {
				return usagef("%s is not an exported ledger that this version knows: its format is %d, known is 1", args[0], ledger.Format)
			}
			if !yes {
				a.progress("%s and %s, exported %s", plural(len(ledger.Entries), "binding"), plural(len(ledger.Switches), "switch record"),
					ledger.Exported.Format("2006-01-02 15:04:05 MST"))
				if err := a.confirm(cmd.Context(), "import"); err != nil {
					return err
				}
			}
			a.timeout = cmp.Or(a.timeout, switchTime)
			report, err := ask(a, cmd.Context(), func(ctx context.Context, c *events.Client) (portbinding.OperatorReport, error) {
				return c.Import(ctx, ledger, person())
			})
			if err != nil {
				return err
			}
			return a.showReport(report)
		},
	}
	restore.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return group("ledger", "Back up and restore what switchbind remembers", export, restore)
}

// writeFile writes a file whole or not at all, readable by its owner alone.
func writeFile(name string, text []byte) error {
	temporary := name + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		os.Remove(temporary)
	}
	return err
}
