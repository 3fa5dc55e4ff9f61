package portbinding

import "time"

// State is what the controller wants of a binding.
type State string

// The states of a binding. Absent and Deleted carry only ids and a revision; Deleted is final.
const (
	Present State = "present"
	Absent  State = "absent"
	Deleted State = "deleted"
)

// Binding is one Neutron port's attachment, in the words of the message contract (its JSON form is the `data` of a
// switchbind.binding.v1 event). It says all there is to know: what the port should be, not what to do.
type Binding struct {
	PortID       string    `json:"port_id"`
	Revision     int64     `json:"revision_number"`
	Digest       string    `json:"digest,omitempty"` // the controller's hash of what it wants; opaque, echoed in results
	State        State     `json:"state"`
	VNICType     string    `json:"vnic_type,omitempty"`
	MAC          string    `json:"mac_address,omitempty"`
	AdminStateUp *bool     `json:"admin_state_up,omitempty"` // nil is up
	MTU          int       `json:"mtu,omitempty"`
	Hosts        []Host    `json:"hosts,omitempty"`
	ProjectID    string    `json:"project_id,omitempty"`
	DeviceID     string    `json:"device_id,omitempty"`
	Network      Network   `json:"network,omitzero"`
	Segments     []Segment `json:"segments,omitempty"` // binding levels, top first; the switch port joins the last
	Profile      Profile   `json:"binding_profile,omitzero"`
	Trunk        *Trunk    `json:"trunk,omitempty"`
}

// VNICBaremetal is the VNIC type of a port whose node hangs on a physical switch port.
const VNICBaremetal = "baremetal"

// Host is where a port is bound. During a live migration there are two.
type Host struct {
	ID     string `json:"host_id"`
	Status string `json:"status,omitempty"` // "active" or "inactive"
}

// Network is the Neutron network of a port.
type Network struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// Segment is one binding level.
type Segment struct {
	ID              string `json:"id,omitempty"`
	NetworkType     string `json:"network_type"` // "vlan", "flat", "vxlan"
	PhysicalNetwork string `json:"physical_network,omitempty"`
	SegmentationID  int    `json:"segmentation_id,omitempty"` // the VLAN id, or the VNI
}

// Profile is what switchbind understands of binding:profile, a free-form JSON object that Ironic or an operator wrote.
type Profile struct {
	Links []LocalLink `json:"local_link_information,omitempty"`
	Group LinkGroup   `json:"local_group_information,omitzero"`
}

// LocalLink names one switch port. It comes from LLDP that an untrusted node heard, or from a person's typing: it is data, and
// is checked before it goes anywhere.
type LocalLink struct {
	SwitchID   string `json:"switch_id,omitempty"`   // the switch's MAC, in any spelling
	SwitchInfo string `json:"switch_info,omitempty"` // its name
	PortID     string `json:"port_id"`
}

// LinkGroup describes the node's bond.
type LinkGroup struct {
	ID             string         `json:"id,omitempty"`
	Name           string         `json:"name,omitempty"`
	BondMode       string         `json:"bond_mode,omitempty"`
	BondProperties map[string]any `json:"bond_properties,omitempty"`
}

// Trunk makes the port's node VLAN-aware: the port's own network untagged, each subport tagged.
type Trunk struct {
	ID       string    `json:"id,omitempty"`
	SubPorts []SubPort `json:"sub_ports"`
}

// SubPort is one tagged VLAN of a trunk.
type SubPort struct {
	PortID         string    `json:"port_id"`
	SegmentationID int       `json:"segmentation_id"` // the tag that the node uses
	Network        Network   `json:"network,omitzero"`
	Segments       []Segment `json:"segments,omitempty"`
}

// AdminUp reports whether the port may be enabled.
func (b Binding) AdminUp() bool { return b.AdminStateUp == nil || *b.AdminStateUp }

// Message is a binding as it arrived.
type Message struct {
	Source   string // who speaks: one NATS token; "cli-<user>" for a person
	Sequence uint64 // position in the stream: orders messages of one revision
	Received time.Time
	// Snapshot says that the binding comes from a snapshot that began at Received: it is newer than all that was heard before.
	Snapshot bool
	// RequestID, where set, is echoed by the result this message causes.
	RequestID string
	Binding   Binding
}

// Manual reports whether the message comes from a person at a command line.
func (m Message) Manual() bool { return isManualSource(m.Source) }

func isManualSource(source string) bool { return len(source) > 4 && source[:4] == "cli-" }
