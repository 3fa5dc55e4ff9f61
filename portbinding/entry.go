package portbinding

import (
	"slices"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// Entry is what the ledger keeps about one Neutron port. Entries are immutable once the book has them: a change is made to a
// copy, which is stored first and then put in the place of the old one.
type Entry struct {
	PortID     string `json:"port_id"`
	Controller *Layer `json:"controller,omitempty"`
	Manual     *Layer `json:"manual,omitempty"` // lies on top of Controller
	// ManualSeen is the sequence of the newest manual message, which outlives its layer: a late delivery must not lay it again.
	ManualSeen uint64 `json:"manual_seen,omitempty"`

	// Claims are the switch ports that the binding in force asks for, with the time since when: of two claims to one port
	// the earlier holds it.
	Claims []Claim `json:"claims,omitempty"`
	// Leaving is every switch port and VLAN that was ever applied or attempted for this entry, is no longer asked for, and is
	// not yet verified out: the tombstone.
	Leaving []Hold `json:"leaving,omitempty"`

	Links     []LinkResult `json:"links,omitempty"` // what is known about each switch port
	Answer    Answer       `json:"answer,omitzero"` // the last result that was published
	RequestID string       `json:"request_id,omitempty"`
	Attempts  int          `json:"attempts,omitempty"`
	Accepted  time.Time    `json:"accepted,omitzero"`  // when what is wanted last changed
	Verified  *time.Time   `json:"verified,omitempty"` // when it was last read back as wanted
	Finished  bool         `json:"finished,omitempty"` // what is wanted has a final answer
	// Settled says that every link was verified since what is wanted last changed: what differs now is drift.
	Settled bool      `json:"settled,omitempty"`
	Updated time.Time `json:"updated,omitzero"`

	// Version is the ledger's own version of the entry, which the next write must name. 0 is an entry never stored.
	Version uint64 `json:"-"`
}

// Layer is the newest binding that one speaker sent for a port.
type Layer struct {
	Source   string    `json:"source"`
	Sequence uint64    `json:"sequence"`
	Received time.Time `json:"received"`
	// OverDigest, in a manual layer, is the controller's digest at the time: when the controller's digest changes, the layer ends.
	OverDigest string  `json:"over_digest,omitempty"`
	Binding    Binding `json:"binding"`
}

// Claim is one switch port that a binding asks for.
type Claim struct {
	Switch string     `json:"switch"`
	Port   string     `json:"port"` // canonical name, as the link says it: LAG membership is resolved when it is used
	Since  time.Time  `json:"since"`
	VLANs  []HeldVLAN `json:"vlans,omitempty"`
}

// Hold is a switch port that may still carry VLANs of a network.
type Hold struct {
	Switch string     `json:"switch"`
	Port   string     `json:"port"`
	VLANs  []HeldVLAN `json:"vlans"`
	Since  time.Time  `json:"since"`
}

// HeldVLAN is a VLAN of a physical network, and whose it was.
type HeldVLAN struct {
	VLAN            switchdrivers.VLANID `json:"vlan"`
	PhysicalNetwork string               `json:"physical_network"`
	NetworkID       string               `json:"network_id"` // "" when nobody knows
	// Since is when this entry first asked for the VLAN on this port. It is kept when the VLAN is left, and when it is asked for
	// again before it was verified out: of two networks in one VLAN the earlier goes first, and whoever may already be in it must
	// never become the later one.
	Since time.Time `json:"since,omitzero"`
}

// is reports whether both are the same VLAN for the same network.
func (h HeldVLAN) is(o HeldVLAN) bool {
	return h.VLAN == o.VLAN && h.PhysicalNetwork == o.PhysicalNetwork && h.NetworkID == o.NetworkID
}

// Answer is what the last result said, so that it is not said twice.
type Answer struct {
	Revision int64  `json:"revision_number"`
	Digest   string `json:"digest"`
	Status   Status `json:"status"`
	Reason   Reason `json:"reason"`
	Message  string `json:"message"`
}

// Effective returns the layer in force, or nil when there is none or it says absent or deleted.
func (e *Entry) Effective() *Layer {
	if l := e.Top(); l != nil && l.Binding.State == Present {
		return l
	}
	return nil
}

// Top returns the layer that decides, whatever its state: the manual one where there is one.
func (e *Entry) Top() *Layer {
	if e.Manual != nil {
		return e.Manual
	}
	return e.Controller
}

// clone returns a copy that can be changed without changing e.
func (e *Entry) clone() *Entry {
	c := *e
	c.Claims = slices.Clone(e.Claims)
	c.Leaving = slices.Clone(e.Leaving)
	c.Links = slices.Clone(e.Links)
	return &c
}

// SwitchRecord is what the ledger keeps about one switch.
type SwitchRecord struct {
	Name string `json:"name"`
	// Surveyed says that the switch was read whole since it came into the ledger: only then may it be written to.
	Surveyed bool `json:"surveyed,omitempty"`
	// Gating is set for the switches of a new ledger: until this one is read, nothing of its physical networks is written.
	Gating bool `json:"gating,omitempty"`
	// Retired says that an operator wrote off whatever the switch still holds: it may be taken out of the configuration.
	Retired *Remark `json:"retired,omitempty"`
	// Unexplained are VLANs found on bindable ports that no binding accounts for.
	Unexplained []Stray `json:"unexplained,omitempty"`
	// Releasing are ports that an operator told us to make idle although no binding names them.
	Releasing []Stray `json:"releasing,omitempty"`
	// CreatedVLANs are the VLANs that we created here, written down before they are: these alone may be deleted.
	CreatedVLANs switchdrivers.VLANSet `json:"created_vlans,omitzero"`
	// LAGs are the members of LAG interfaces, as last read, with the interface of each. What a link to a member asked for was put
	// on the interface, so the next reading has to know where that was.
	LAGs      map[string]string `json:"lags,omitempty"`
	Unsaved   bool              `json:"unsaved,omitempty"` // written down before the running configuration is changed
	Paused    *Remark           `json:"paused,omitempty"`
	Forgotten []Remark          `json:"forgotten,omitempty"` // what operators dropped, and why; the newest 32
	Version   uint64            `json:"-"`
}

// Stray is a port that carries VLANs for nobody we know. They count for every physical network of the switch.
type Stray struct {
	Port  string                `json:"port"`
	VLANs switchdrivers.VLANSet `json:"vlans"`
	Since time.Time             `json:"since"`
	// Late says that bindings were verified in these VLANs when the stray was found: it keeps newcomers out, but does not take the
	// VLAN away from those who asked before.
	Late bool `json:"late,omitempty"`
}

// Remark records who did something, when and why.
type Remark struct {
	By      string    `json:"by"`
	Because string    `json:"because"`
	What    string    `json:"what,omitempty"`
	At      time.Time `json:"at"`
}
