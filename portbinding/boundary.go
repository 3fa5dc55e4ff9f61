package portbinding

import (
	"context"
	"errors"
)

// Ledger keeps entries and switch records so that they survive everything but the loss of the disk. All methods are safe for
// concurrent use. Package events implements it on a JetStream KV bucket.
type Ledger interface {
	// Load returns everything there is.
	Load(ctx context.Context) ([]*Entry, []*SwitchRecord, error)
	// Put stores entries, each against the Version it carries, and returns the new versions in the same order. When it returns
	// nil all of them are on disk. After an error some may be: [ErrConflict] says that somebody else wrote an entry meanwhile.
	Put(ctx context.Context, entries ...*Entry) ([]uint64, error)
	// PutSwitch stores a switch record, likewise.
	PutSwitch(ctx context.Context, record *SwitchRecord) (uint64, error)
	// Get reads one entry again; nil when there is none.
	Get(ctx context.Context, portID string) (*Entry, error)
	// Remove takes entries away for good, once their tombstones have outlived every message about them.
	Remove(ctx context.Context, portIDs ...string) error
	// RemoveSwitch takes a switch record away.
	RemoveSwitch(ctx context.Context, name string) error
}

// ErrConflict says that the ledger holds a newer version of what was to be stored: read it again and decide anew.
var ErrConflict = errors.New("the ledger holds a newer version")

// Outbox publishes what switchbind has to say. A nil error means that it is kept.
type Outbox interface {
	Results(ctx context.Context, results ...Result) error
	Drift(ctx context.Context, drift Drift) error
}

// Signals marks switches dirty, in a way that survives a crash: whoever owns the switch is told with [Engine.Wake].
type Signals interface {
	Dirty(ctx context.Context, switches ...string) error
}

// Fence says whether this process still owns a switch. It is asked before every write; an error stops the write.
type Fence func(ctx context.Context) error
