package switchdrivers

import "maps"

// State is what a switch's configuration says, in terms that every network operating system shares. The same model is the
// actual state (what was read), the desired state, and both ends of a [Change]. It is complete for the ports it names and
// silent about all others.
type State struct {
	VLANs map[VLANID]VLAN `json:"vlans,omitempty" yaml:"vlans,omitempty"`
	Ports map[string]Port `json:"ports,omitempty" yaml:"ports,omitempty"` // by the canonical name; LAG interfaces are ports too
	LAGs  map[string]LAG  `json:"lags,omitempty" yaml:"lags,omitempty"`
}

// VLAN is one entry of a switch's VLAN table.
type VLAN struct {
	Name string `json:"name,omitempty" yaml:"name,omitempty"`
	// Suspended is read, never written: the VLAN is configured but the switch does not forward it.
	Suspended bool `json:"suspended,omitempty" yaml:"suspended,omitempty"`
}

// Mode says what a switch port does with VLAN tags, as in IEEE 802.1Q.
type Mode string

// The modes of a switch port.
const (
	// ModeIdle is a port that belongs to no VLAN that anybody chose: the NOS's default VLAN configuration on a port that is
	// shut down. The zero value, so that Port{} is a port that was let go.
	ModeIdle Mode = ""
	// ModeAccess is an untagged member of one VLAN; tagged frames are not accepted.
	ModeAccess Mode = "access"
	// ModeTrunk is a tagged member of TaggedVLANs and, untagged, of NativeVLAN where that is set.
	ModeTrunk Mode = "trunk"
	// ModeRouted is read, never written: a layer-3 port, which no binding may take.
	ModeRouted Mode = "routed"
)

// Port is the configuration of one switch port, physical or LAG interface.
//
// Two readings of one configuration must be equal, so the form is canonical: fields that a mode has no use for are zero, and
// a port that is shut down in its NOS's default VLAN configuration reads as Port{} (plus Description and LAG).
type Port struct {
	Enabled     bool    `json:"enabled" yaml:"enabled"`
	Mode        Mode    `json:"mode,omitempty" yaml:"mode,omitempty"`
	AccessVLAN  VLANID  `json:"access_vlan,omitempty" yaml:"access_vlan,omitempty"`
	NativeVLAN  VLANID  `json:"native_vlan,omitempty" yaml:"native_vlan,omitempty"`  // 0: untagged frames are dropped
	TaggedVLANs VLANSet `json:"tagged_vlans,omitzero" yaml:"tagged_vlans,omitempty"` // never contains NativeVLAN
	Description string  `json:"description,omitempty" yaml:"description,omitempty"`

	// LAG is read, never written: the LAG interface that this port is a member of. Such a port has no VLANs of its own.
	LAG string `json:"lag,omitempty" yaml:"lag,omitempty"`
	// Problem is read, never written: an operational fact that contradicts the configuration ("access VLAN 110 does not
	// exist, the port is inactive"). A link that is down is not one.
	Problem string `json:"problem,omitempty" yaml:"problem,omitempty"`
}

// LAG is an IEEE 802.1AX link aggregation group.
type LAG struct {
	Members []string `json:"members,omitempty" yaml:"members,omitempty"`
}

// Access is an enabled port that is an untagged member of vlan.
func Access(vlan VLANID) Port { return Port{Enabled: true, Mode: ModeAccess, AccessVLAN: vlan} }

// Trunk is an enabled port that carries tagged VLANs and, where native is not 0, that VLAN untagged.
func Trunk(native VLANID, tagged VLANSet) Port {
	return Port{Enabled: true, Mode: ModeTrunk, NativeVLAN: native, TaggedVLANs: tagged.Minus(VLANs(native))}
}

// Idle is a port that was let go: shut down, in no VLAN.
func Idle() Port { return Port{} }

// VLANs returns every VLAN whose frames the configuration lets the port carry once it is enabled. It does not depend on
// Enabled: a shut port that is configured into a VLAN is one command away from carrying it.
func (p Port) VLANs() VLANSet {
	switch p.Mode {
	case ModeAccess:
		return VLANs(p.AccessVLAN)
	case ModeTrunk:
		return p.TaggedVLANs.With(p.NativeVLAN)
	}
	return VLANSet{}
}

// SameForwarding reports whether p and q do the same to frames: it compares what the drivers can write except the
// description.
func (p Port) SameForwarding(q Port) bool {
	return p.Enabled == q.Enabled && p.Mode == q.Mode && p.AccessVLAN == q.AccessVLAN && p.NativeVLAN == q.NativeVLAN &&
		p.TaggedVLANs.Equal(q.TaggedVLANs)
}

// Equal reports whether p and q are the same configuration: forwarding and description, not the read-only facts.
func (p Port) Equal(q Port) bool { return p.SameForwarding(q) && p.Description == q.Description }

// String describes the port in a few words: "access 110", "trunk native 10 tagged 100,200-210", "shut down".
func (p Port) String() string {
	text := ""
	switch p.Mode {
	case ModeAccess:
		text = "access " + p.AccessVLAN.String()
	case ModeTrunk:
		text = "trunk"
		if p.NativeVLAN != 0 {
			text += " native " + p.NativeVLAN.String()
		}
		if !p.TaggedVLANs.IsEmpty() {
			text += " tagged " + p.TaggedVLANs.String()
		}
	case ModeRouted:
		text = "routed"
	}
	switch {
	case p.Enabled && text == "":
		return "enabled, no VLAN"
	case p.Enabled:
		return text
	case text == "":
		return "shut down"
	}
	return text + ", shut down"
}

// LAGOf returns the LAG interface that port is a member of, or port itself. A name that the switch does not have is returned
// unchanged.
func (s State) LAGOf(port string) string {
	if p, ok := s.Ports[port]; ok && p.LAG != "" {
		return p.LAG
	}
	return port
}

// Clone returns a copy whose maps can be changed without changing s.
func (s State) Clone() State {
	return State{VLANs: maps.Clone(s.VLANs), Ports: maps.Clone(s.Ports), LAGs: maps.Clone(s.LAGs)}
}

// Scope says what to read. The zero value is the whole switch. Drivers may read more than they are asked for; the VLAN table
// and LAG membership are always read.
type Scope struct {
	Ports []string // canonical names; nil is every port
}
