// Package switchdrivers is what switchbind knows about switches: one small [Driver] interface, the model of a switch's
// state, the change between two states, typed errors, and the inventory that the operator writes.
//
//	State (desired) ─┐
//	                 ├─ Diff ─> Change ─> Platform.Render ─> Script     (plan: nothing is sent)
//	State (actual)  ─┘             └────> Driver.Apply ─> Driver.Read   (the switch, and what it says afterwards)
//
// It decides nothing: which port belongs where is the business of package portbinding, which is this package's only caller
// beside the command line. The drivers live in the packages cli (SSH, one YAML dialect per network operating system) and
// gnmi; a [Registry] value, built by the program, says which exist.
package switchdrivers

import "context"

// Driver configures one switch. The worker that owns the switch is its only caller, and makes one call at a time.
//
// A driver connects when it first has to and keeps the session warm; after any error it drops it. It never retries: whether
// and when is the worker's decision. Every error is one of this package's typed errors, or the context's.
type Driver interface {
	// Read returns what the switch's configuration says, and operational facts only where they contradict it. A port that
	// the switch does not have is absent from the result. Output that cannot be understood is an error, never an empty
	// state: a port wrongly read as free is a breach between tenants.
	Read(ctx context.Context, scope Scope) (State, error)
	// Apply writes the whole change in one session and, where the switch has such a thing, one commit. A nil error means that
	// the switch accepted every line, not that it did what they say: the caller reads back. After a [*RefusedError] ports
	// that it does not name may or may not have been changed: the caller reads back then, too.
	Apply(ctx context.Context, change Change) error
	// Save makes the running configuration survive a reload. Where the switch always does, it does nothing.
	Save(ctx context.Context) error
	// Close ends the session. A closed driver is not used again.
	Close() error
}

// Platform is one network operating system as it is spoken to over one protocol. Everything but Open is pure: it needs no
// switch. A Platform is safe for concurrent use.
type Platform interface {
	// Traits say what this NOS can do and where its limits are.
	Traits() Traits
	// PortName returns the canonical spelling of a port name ("Et1" is "Ethernet1"), or an error if the text cannot be a port
	// name here. What it returns holds no character that means anything to the switch's parser.
	PortName(text string) (string, error)
	// Render returns exactly what Apply would send for the change.
	Render(change Change) (Script, error)
	// Open returns a driver for one switch. It does not connect yet.
	Open(sw Switch, env Environment) (Driver, error)
}

// Traits are the facts about a NOS that decisions depend on. They come from its dialect file.
type Traits struct {
	// ReservedVLANs cannot be given to a binding on this NOS (1002-1005 on IOS, 3968-4094 on NX-OS, ...).
	ReservedVLANs VLANSet
	// HasVLANTable is false where VLANs exist by being used (Open vSwitch): there is nothing to create or delete.
	HasVLANTable bool
	// VLANNameLength is the most characters a VLAN's name may have; 0 where VLANs have no names.
	VLANNameLength int
	// Descriptions says that ports have a description.
	Descriptions bool
	// Atomic says that a refused change leaves the switch as it was. Where it is false, ports before the refused one are
	// changed and the driver goes on after it.
	Atomic bool
	// NeedsSave says that the running configuration is lost at a reload unless it is saved.
	NeedsSave bool
}

// Pinger is implemented by drivers that can tell cheaply whether the switch can be reached with the given credentials.
type Pinger interface {
	// Identify logs in, changes nothing, and returns the switch's own words about its model and software version.
	Identify(ctx context.Context) (string, error)
}
