package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/cmd/switchbind/config"
	"github.com/switchbind/switchbind/events"
)

func (a *app) schemaCommand() *cobra.Command {
	schemas := events.Schemas()
	schemas["config"] = json.RawMessage(config.Schema)
	names := slices.Sorted(maps.Keys(schemas))
	return &cobra.Command{
		Use:   "schema NAME",
		Short: "Print the JSON Schema of the configuration or of a message",
		Long: `Print a JSON Schema (draft 2020-12). NAME is one of ` + strings.Join(names, ", ") + `.
With -o yaml it is printed as YAML.`,
		Example: `  switchbind schema config > switchbind.schema.json
  switchbind schema binding`,
		ValidArgs: names,
		Args:      oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			schema, ok := schemas[args[0]]
			if !ok {
				return usagef("there is no schema %q; there are: %s", args[0], strings.Join(names, ", "))
			}
			if a.output == "yaml" {
				return a.print(schema, nil)
			}
			_, err := a.out.Write(schema)
			return err
		},
	}
}
