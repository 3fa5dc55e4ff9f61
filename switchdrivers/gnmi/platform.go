// Package gnmi drives switches over gNMI, the gRPC Network Management Interface (openconfig/reference, rpc/gnmi).
//
// A gNMI switch is spoken to in JSON at paths of a YANG model, and which model that is differs from vendor to vendor. So the
// package has two halves. One speaks the protocol and knows no model: connection, TLS, errors, the two requests. The other is
// one small file for each model: how a change is written down as operations, which paths to ask for, and what the answer
// means. A model never sees a connection, the protocol never sees a VLAN.
//
//	Change ── model.encode ──> []operation ──> one SetRequest     (Render prints the same operations)
//	Scope  ── model.paths  ──> one GetRequest ──> tree ── model.decode ──> State
//
// Every change is exactly one Set: the specification makes a Set one transaction (section 3.4.3), which the target either
// does whole or not at all, so that one bad port is refused together with all others and found by the caller. Every read is
// one Get. A target that answers differently from what was asked (one leaf at a time, or a whole subtree; with module names
// or without; JSON or JSON_IETF; several notifications) is understood all the same, because the answer is first put together
// into one tree.
//
// What gNMI cannot do is save: it has no notion of a startup configuration. Arista EOS keeps what a Set changed over a reload
// only with `management api gnmi`, `operation set persistence` (EOS 4.28.0F and later; aristanetworks/openmgmt, OpenConfig,
// "Configuration Persistence"). Without that line a reload of the switch loses the configuration, and switchbind, which does
// not trust memory, writes it again when it next reads the switch.
package gnmi

import (
	"github.com/switchbind/switchbind/switchdrivers"
)

// Platform is one YANG model spoken over gNMI. It is immutable and safe for concurrent use.
type Platform struct{ model model }

// OpenConfig is the platform for targets that implement the OpenConfig models openconfig-interfaces, openconfig-vlan and
// openconfig-network-instance as published: Arista EOS above all.
func OpenConfig() *Platform { return &Platform{openConfig{networkInstance: "default"}} }

// Register adds every model to the registry, under the driver name "gnmi".
func Register(r switchdrivers.Registry) error {
	for _, p := range []*Platform{OpenConfig()} {
		if err := r.Add("gnmi", p.model.name(), p); err != nil {
			return err
		}
	}
	return nil
}

// Traits implements switchdrivers.Platform.
func (p *Platform) Traits() switchdrivers.Traits { return p.model.traits() }

// PortName implements switchdrivers.Platform.
func (p *Platform) PortName(text string) (string, error) { return p.model.portName(text) }

// Render implements switchdrivers.Platform: one line for each operation of the SetRequest, in the order in which the target
// processes them. Values are shown as JSON_IETF; a target that only knows JSON gets the same values without module names.
// Where ports ask for something that the model cannot say, the error is a [*switchdrivers.RefusedError] that names those
// ports, and a [*switchdrivers.UnsupportedError] as well.
func (p *Platform) Render(change switchdrivers.Change) (switchdrivers.Script, error) {
	ops, err := p.operations("", change)
	if err != nil {
		return nil, err
	}
	script := make(switchdrivers.Script, len(ops))
	for i, op := range ops {
		script[i] = switchdrivers.Line{Text: op.String(), Port: op.port, Why: op.why}
	}
	return script, nil
}

// Open implements switchdrivers.Platform.
func (p *Platform) Open(sw switchdrivers.Switch, env switchdrivers.Environment) (switchdrivers.Driver, error) {
	address, err := dialAddress(sw.Address)
	if err != nil {
		return nil, err
	}
	return &Driver{platform: p, sw: sw, address: address, trace: env.Trace}, nil
}
