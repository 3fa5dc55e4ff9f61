package portbinding

import (
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// The requests and answers of the service's API, which the command line shows as tables or JSON. They are part of the
// contract: names are stable.

// BindingView is one binding as `list` and `show` tell it.
type BindingView struct {
	PortID     string       `json:"port_id"`
	Source     string       `json:"source"`
	State      State        `json:"state"`
	Overridden bool         `json:"overridden,omitempty"` // a manual layer lies on top of the controller's binding
	Revision   int64        `json:"revision_number"`
	Digest     string       `json:"digest,omitempty"`
	VNICType   string       `json:"vnic_type,omitempty"`
	MAC        string       `json:"mac_address,omitempty"`
	Network    Network      `json:"network"`
	VLAN       int          `json:"vlan,omitempty"`
	Status     Status       `json:"status"`
	Reason     Reason       `json:"reason,omitempty"`
	Message    string       `json:"message,omitempty"`
	Links      []LinkResult `json:"links,omitempty"`
	Leaving    []Hold       `json:"leaving,omitempty"`
	Verified   *time.Time   `json:"verified_at,omitempty"`
	Updated    time.Time    `json:"updated_at"`
	// Binding is the whole binding in force; only `show` has it.
	Binding *Binding `json:"binding,omitempty"`
	// Controller is the controller's binding under a manual one; only `show` has it.
	Controller *Binding `json:"controller,omitempty"`
}

// SwitchView is one switch as `switches` tells it.
type SwitchView struct {
	Name        string     `json:"name"`
	Address     string     `json:"address"`
	Platform    string     `json:"platform"` // "ssh/arista_eos"
	Health      string     `json:"health"`   // "ok", "unread", "working", "paused", "not-owned", "not-kept", or the reason of the last failure
	Message     string     `json:"message,omitempty"`
	RetryAt     *time.Time `json:"retry_at,omitempty"` // when the circuit is tried again
	Bound       int        `json:"bound"`              // bindings verified here
	Pending     int        `json:"pending"`            // bindings not yet good here
	Leaving     int        `json:"leaving"`            // ports not yet verified out of what they carried
	Unexplained []Stray    `json:"unexplained,omitempty"`
	Unsaved     bool       `json:"unsaved"`
	LastRead    *time.Time `json:"last_read,omitempty"`
	Paused      *Remark    `json:"paused,omitempty"`
	Warnings    []string   `json:"warnings,omitempty"` // "TLS certificate is not verified", ...
}

// PlanRequest asks what would be sent now. Bindings, where given, are considered as if they had arrived; nothing is kept.
type PlanRequest struct {
	Switch   string    `json:"switch,omitempty"` // "" is every switch that something would be sent to
	Bindings []Binding `json:"bindings,omitempty"`
}

// PlanView is what would be sent to one switch, in order, and what waits.
type PlanView struct {
	Switch   string               `json:"switch"`
	Platform string               `json:"platform"`
	Script   switchdrivers.Script `json:"script,omitempty"`
	Change   PlanChange           `json:"change"`
	Waiting  []LinkResult         `json:"waiting,omitempty"` // bindings that are not part of it, and why
	Error    string               `json:"error,omitempty"`   // the switch could not be read
}

// PlanChange is the change itself, in the switch state model.
type PlanChange struct {
	VLANs  []switchdrivers.VLANChange `json:"vlans,omitempty"`
	Ports  []switchdrivers.PortChange `json:"ports,omitempty"`
	Delete []switchdrivers.VLANChange `json:"delete,omitempty"`
}

// ListFilter narrows `list`. Zero fields do not.
type ListFilter struct {
	Switch  string `json:"switch,omitempty"`
	Status  Status `json:"status,omitempty"`
	Network string `json:"network,omitempty"` // id or name
	Gone    bool   `json:"gone,omitempty"`    // also bindings that were released or deleted
}

// RebindRequest asks that what is bound be applied and verified again.
type RebindRequest struct {
	PortID    string `json:"port_id"`
	RequestID string `json:"request_id"` // echoed by the result it causes
	By        string `json:"by,omitempty"`
	// DropManual gives up what was changed by hand: what the controller wants is in force again.
	DropManual bool `json:"drop_manual,omitempty"`
}

// OperatorRequest is a person's decision about a switch or one of its ports.
type OperatorRequest struct {
	Switch  string `json:"switch"`
	Port    string `json:"port,omitempty"`
	By      string `json:"by"`
	Because string `json:"because,omitempty"`
	Confirm bool   `json:"confirm,omitempty"` // without it, only say what would happen
}

// OperatorReport says what a decision did, or would do.
type OperatorReport struct {
	Done    bool     `json:"done"`
	Message string   `json:"message"`
	Exposed []Hold   `json:"exposed,omitempty"` // switch ports that may still carry VLANs nobody tracks any more
	Held    []string `json:"bindings,omitempty"`
}

// Snapshot is a controller's whole truth, complete: begin, all pages and end were received.
type Snapshot struct {
	Source   string    `json:"source"`
	ID       string    `json:"id"`
	Begin    time.Time `json:"begin"` // when begin was received; what was heard later is newer than the snapshot
	Bindings []Binding `json:"bindings"`
}

// SnapshotReport says what a snapshot did.
type SnapshotReport struct {
	ID      string   `json:"id"`
	Source  string   `json:"source"`
	Held    bool     `json:"held"` // it would remove too much: nothing was done, `snapshot accept` does it
	Changed int      `json:"changed"`
	Removed []string `json:"removed,omitempty"` // port ids
	Message string   `json:"message"`
}

// LedgerExport is the whole ledger, for a backup.
type LedgerExport struct {
	Format   int             `json:"format"` // 1
	Exported time.Time       `json:"exported_at"`
	Entries  []*Entry        `json:"entries"`
	Switches []*SwitchRecord `json:"switches"`
}
