package main

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/switchbind/switchbind/cmd/switchbind/config"
	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

// engine is what serve needs of the core.
type engine interface {
	events.Core
	Start(ctx context.Context) error
	SetInventory(ctx context.Context, inventory *switchdrivers.Inventory) error
	Close()
}

// engineMaker makes the core. Tests of serve put a fake in its place.
type engineMaker func(inventory *switchdrivers.Inventory, bus *events.Bus, env switchdrivers.Environment, limits config.Snapshot,
	how manner, log zerolog.Logger) (engine, error)

// manner is how the service is run, as the flags of serve say.
type manner struct {
	dryRun       bool // never write to a switch
	acceptLosses bool // go on although the configuration cuts off what is bound
}

func newEngine(inventory *switchdrivers.Inventory, bus *events.Bus, env switchdrivers.Environment, limits config.Snapshot,
	how manner, log zerolog.Logger) (engine, error) {
	return portbinding.New(portbinding.Options{
		Inventory: inventory, Ledger: bus.Ledger(), Outbox: bus.Outbox(), Signals: bus.Signals(), Log: log, Env: env,
		DryRun: how.dryRun, AcceptLosses: how.acceptLosses,
		Snapshot: portbinding.SnapshotPolicy{MostRemovals: limits.RemoveAtMost, MostShare: limits.RemoveShareAtMost},
	})
}
