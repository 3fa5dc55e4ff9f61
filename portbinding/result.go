package portbinding

import (
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// Status is how far a binding has come.
type Status string

// The statuses, as the message contract defines them.
const (
	StatusBound    Status = "bound"    // every link read back as desired
	StatusReleased Status = "released" // every link read back idle
	StatusPending  Status = "pending"  // waiting, or still trying
	StatusFailed   Status = "failed"   // some or all links are not good; switchbind keeps repairing
	StatusRefused  Status = "refused"  // cannot be done as asked; nothing is tried until binding or configuration change
)

// Reason says, from a closed list, why a binding is not bound or released. Every member is documented by [Reasons].
type Reason string

// The reasons.
const (
	ReasonNone            Reason = ""
	ReasonInvalidEvent    Reason = "invalid-event"
	ReasonUnsupported     Reason = "unsupported"
	ReasonUnknownSwitch   Reason = "unknown-switch"
	ReasonSwitchMismatch  Reason = "switch-mismatch"
	ReasonUnknownPort     Reason = "unknown-port"
	ReasonPortProtected   Reason = "port-protected"
	ReasonPortNotAllowed  Reason = "port-not-allowed"
	ReasonPortTaken       Reason = "port-taken"
	ReasonPhysicalNetwork Reason = "physical-network-mismatch"
	ReasonVLANNotAllowed  Reason = "vlan-not-allowed"
	ReasonSubPortTag      Reason = "subport-tag-mismatch"
	ReasonVLANQuarantined Reason = "vlan-quarantined"
	ReasonVLANMissing     Reason = "vlan-missing"
	ReasonNotSurveyed     Reason = "not-surveyed"
	ReasonPaused          Reason = "paused"
	ReasonDryRun          Reason = "dry-run"
	ReasonQueued          Reason = "queued"
	ReasonUnreachable     Reason = "unreachable"
	ReasonTimeout         Reason = "timeout"
	ReasonAuthFailed      Reason = "auth-failed"
	ReasonHostKey         Reason = "host-key-mismatch"
	ReasonBusy            Reason = "busy"
	ReasonRejected        Reason = "rejected-by-switch"
	ReasonMismatch        Reason = "verify-mismatch"
	ReasonUnreadable      Reason = "unreadable-switch"
)

// Reasons documents every reason: what it means and what to do.
var Reasons = map[Reason]string{
	ReasonInvalidEvent:    "the message breaks the contract; the message text has the JSON pointer of the fault",
	ReasonUnsupported:     "switchbind or this switch cannot do what the binding asks",
	ReasonUnknownSwitch:   "no switch in the configuration has this switch_id or switch_info",
	ReasonSwitchMismatch:  "switch_id and switch_info name different switches: the cabling record is wrong",
	ReasonUnknownPort:     "the switch has no port of this name",
	ReasonPortProtected:   "the port is an uplink or a protected port",
	ReasonPortNotAllowed:  "the port is not in the switch's allowed_ports",
	ReasonPortTaken:       "another binding holds the switch port; this one proceeds when it is gone",
	ReasonPhysicalNetwork: "the switch does not carry the segment's physical network",
	ReasonVLANNotAllowed:  "the VLAN is reserved by the switch or not in its allowed_vlans",
	ReasonSubPortTag:      "a subport's tag is not the VLAN of its network",
	ReasonVLANQuarantined: "another network is in this VLAN, or ports that it left are not yet verified out of it",
	ReasonVLANMissing:     "the VLAN does not exist on the switch and manage_vlans is off",
	ReasonNotSurveyed:     "the ledger is new and a switch of this physical network has not been read yet",
	ReasonPaused:          "an operator paused the switch; resume it",
	ReasonDryRun:          "the service runs with --dry-run and writes nothing",
	ReasonQueued:          "accepted, work is under way",
	ReasonUnreachable:     "the switch does not answer",
	ReasonTimeout:         "the switch did not answer in time",
	ReasonAuthFailed:      "the switch refused the credentials; they are not tried again for a while",
	ReasonHostKey:         "the switch's host key or certificate is not the expected one",
	ReasonBusy:            "the switch's configuration is locked, or it has no free session",
	ReasonRejected:        "the switch said no; the message has its words",
	ReasonMismatch:        "the switch accepted the change but its configuration reads back differently",
	ReasonUnreadable:      "the switch's output could not be understood",
}

// LinkResult is what is known about one switch port of a binding.
type LinkResult struct {
	Switch   string              `json:"switch"`
	Port     string              `json:"port"`
	Status   Status              `json:"status"`
	Reason   Reason              `json:"reason"`
	Message  string              `json:"message"`
	Observed *switchdrivers.Port `json:"observed,omitempty"` // what was read back
}

// SubPortResult is the status of one subport of a trunk; it is that of its parent.
type SubPortResult struct {
	PortID string `json:"port_id"`
	Status Status `json:"status"`
}

// Result answers one binding (its JSON form is the `data` of a switchbind.result.v1 event).
type Result struct {
	PortID     string          `json:"port_id"`
	Revision   int64           `json:"revision_number"`
	Digest     string          `json:"digest"`
	RequestID  string          `json:"request_id"`
	Status     Status          `json:"status"`
	Reason     Reason          `json:"reason"`
	Message    string          `json:"message"`
	Links      []LinkResult    `json:"links"`
	SubPorts   []SubPortResult `json:"sub_ports,omitempty"`
	Attempts   int             `json:"attempts"`
	DurationMS int64           `json:"duration_ms"`
	VerifiedAt *time.Time      `json:"verified_at,omitempty"`

	Source string `json:"-"` // whose binding it is; stands in the envelope and the subject
}

// Drift says that a switch was found different from what was last verified there (its JSON form is the `data` of a
// switchbind.drift.v1 event).
type Drift struct {
	Switch   string      `json:"switch"`
	Found    time.Time   `json:"found_at"`
	Repaired bool        `json:"repaired"` // the policy is to repair: the change follows at once
	Ports    []PortDrift `json:"ports"`
}

// PortDrift is one port that differs.
type PortDrift struct {
	Port    string             `json:"port"`
	PortID  string             `json:"port_id,omitempty"` // the binding it belongs to
	Desired switchdrivers.Port `json:"desired"`
	Actual  switchdrivers.Port `json:"actual"`
}
