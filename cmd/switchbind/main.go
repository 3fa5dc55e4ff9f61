// Command switchbind puts bare metal on the right network.
//
// It is two programs in one. `switchbind serve` is the service: it reads the configuration, connects to NATS or runs its own
// server, and drives the switches. Every other verb talks to that service over NATS and touches no switch itself:
//
//	switchbind bind, unbind, rebind ── events ──> NATS ──> switchbind serve ──> switches
//	switchbind list, show, plan, ... ─ requests ─> NATS ─────────┘
//
// A third way to run it needs neither: `switchbind lab` is both programs, virtual switches and servers in one process.
//
// One file per verb. What verbs share: root.go (flags, exit codes), client.go (the connection), output.go (table, JSON, YAML),
// await.go (waiting for a result), manual.go (bindings by hand). serve.go puts the service together, in one function.
package main

import (
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
