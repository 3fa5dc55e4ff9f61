package main

import (
	"github.com/switchbind/switchbind/switchdrivers"
	"github.com/switchbind/switchbind/switchdrivers/cli"
	"github.com/switchbind/switchbind/switchdrivers/gnmi"
)

// platforms is every network operating system this program can speak to: the shipped dialects, the operator's own dialect files,
// and the gNMI models.
func platforms(dialects []string) (switchdrivers.Registry, error) {
	registry := switchdrivers.Registry{}
	if err := cli.Register(registry, dialects...); err != nil {
		return nil, err
	}
	if err := gnmi.Register(registry); err != nil {
		return nil, err
	}
	return registry, nil
}
