package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/switchbind/switchbind/cmd/switchbind/config"
	"github.com/switchbind/switchbind/switchdrivers"
)

// load reads a configuration file and checks it against the platforms there are: all that is checked without a network. The error
// has one fault a line.
func load(file string) (*config.Config, *switchdrivers.Inventory, error) {
	c, err := config.Load(file)
	if err != nil {
		return nil, nil, err
	}
	registry, err := platforms(c.Dialects)
	if err != nil {
		return nil, nil, err
	}
	inventory, err := switchdrivers.NewInventory(c.Switches, registry)
	if err != nil {
		return nil, nil, placed(c, err)
	}
	return c, inventory, nil
}

// placed adds to each line of the inventory's error the place of the switch that it names.
func placed(c *config.Config, err error) error {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		rest, _ := strings.CutPrefix(line, "switch ")
		name, _, _ := strings.Cut(rest, ":")
		if at := c.Where(name); at.Line > 0 {
			lines[i] = fmt.Sprintf("%s:%d:%d: %s", at.File, at.Line, at.Column, line)
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}
