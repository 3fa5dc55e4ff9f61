package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// noArgs, oneArg and oneArgAtMost check the number of arguments; the message is how the verb is used.
func noArgs(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 0, 0) }

func oneArg(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 1, 1) }

func oneArgAtMost(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 0, 1) }

func countArgs(cmd *cobra.Command, args []string, least, most int) error {
	if len(args) >= least && len(args) <= most {
		return nil
	}
	parent := ""
	if cmd.HasParent() {
		parent = cmd.Parent().CommandPath() + " "
	}
	problem := "something is missing"
	if len(args) > most {
		problem = fmt.Sprintf("%q is too much", strings.Join(args[most:], " "))
	}
	return fmt.Errorf("%s; it is used as: %s%s", problem, parent, cmd.Use)
}
