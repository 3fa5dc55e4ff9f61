package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file, without touching network or switches",
		Long: `Read a configuration file as the service would, and tell every fault with its line, and what is allowed but
risky. No network and no switch is touched.

Exit codes: 0 valid, perhaps with warnings, 1 faults, 2 usage.`,
		Example: `  switchbind config check /etc/switchbind/config.yaml && systemctl reload switchbind`,
		Args:    oneArg,
		RunE:    func(_ *cobra.Command, args []string) error { return a.checkConfig(args[0]) },
	}
	c := group("config", "Check the configuration", check)
	c.Long = `Check the configuration.

The configuration is one YAML file; ` + "`switchbind schema config`" + ` describes every key. A small one:

  switches:
    leaf1:
      address: 192.0.2.11
      driver: ssh
      dialect: arista_eos
      credentials: {username: switchbind, key_file: /etc/switchbind/id_ed25519}
      host_key: {known_hosts: /etc/switchbind/known_hosts}
      physical_networks: [physnet1]`
	return c
}

// checked is the outcome of `config check`.
type checked struct {
	File     string   `json:"file"`
	Valid    bool     `json:"valid"`
	Switches []string `json:"switches"`
	Faults   []string `json:"faults"`
	Warnings []string `json:"warnings"`
}

func (a *app) checkConfig(file string) error {
	found := checked{File: file, Switches: []string{}, Faults: []string{}, Warnings: []string{}}
	c, inventory, err := load(file)
	if err == nil {
		found.Valid, found.Switches = true, append(found.Switches, inventory.Names()...)
		found.Warnings = append(found.Warnings, c.Warnings...)
	} else {
		found.Faults = strings.Split(err.Error(), "\n")
	}
	err = a.print(found, func(p *page) {
		for _, fault := range found.Faults {
			p.line("%s", fault)
		}
		for _, warning := range found.Warnings {
			p.line("%s: warning: %s", file, warning)
		}
		if found.Valid {
			p.line("%s is valid: %s", file, plural(len(found.Switches), "switch"))
		} else {
			p.line("%s is not valid: %s", file, plural(len(found.Faults), "fault"))
		}
	})
	if err == nil && !found.Valid {
		err = &failedError{exitFailed}
	}
	return err
}
