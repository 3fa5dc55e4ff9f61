package gnmi

import (
	"regexp"
	"slices"

	"github.com/switchbind/switchbind/switchdrivers"
)

// openConfig writes and reads VLANs as the published OpenConfig models have them: switched-vlan (openconfig-vlan) below the
// ethernet container of a port and below the aggregation container of a LAG, and the VLAN table in a network instance.
//
// What the models leave open, and what is done about it:
//
//   - A trunk without trunk-vlans carries all VLANs ("If not specified, all VLANs are allowed on the interface",
//     openconfig-vlan.yang). It is read so, and a trunk is never written without the list. A trunk that carries nothing cannot
//     be said at all.
//   - A trunk without native-vlan: the models are silent, and EOS, whose native VLAN is 1 unless another is configured, leaves
//     the leaf out of its answer. Untagged frames then join VLAN 1 where the trunk carries it, and are dropped where not. So a
//     trunk without a native VLAN is written without native-vlan and without VLAN 1 in its list, and is read back as such. VLAN
//     1 tagged on such a trunk would be VLAN 1 untagged, so it is refused.
//   - An idle port is written out, as access VLAN 1 and disabled, rather than by deleting switched-vlan: what a target falls
//     back to after that is its own business (EOS with `switchport default mode routed` makes it a layer-3 port). Access VLAN
//     1 on a disabled port reads as idle. VLAN 1 is therefore reserved.
//   - A port without switched-vlan is no switch port but a layer-3 one: EOS shows the container for every `switchport`, and
//     not after `no switchport`. Most others start with routed ports. It must be made a switch port by hand before the first
//     binding: a port that may be somebody's uplink is not taken over.
//   - switched-vlan is replaced as a whole, so nothing that was in it (other leaves, VLAN translations) survives; its leaves
//     depend on interface-mode by `when`, so no leaf is ever written alone.
//   - Everything is one Set, VLANs that are deleted included, although deletes are processed first: the target judges and
//     applies the outcome, not the steps (specification 3.4.3; EOS wraps a Set into one configuration session). A separate Set
//     for them would only add a state in between.
type openConfig struct {
	networkInstance string // whose VLAN table it is
}

func (openConfig) name() string { return "openconfig" }

func (openConfig) traits() switchdrivers.Traits {
	return switchdrivers.Traits{
		ReservedVLANs:  switchdrivers.VLANs(defaultVLAN),
		HasVLANTable:   true,
		VLANNameLength: 32, // no limit in the model; EOS has this one
		Descriptions:   true,
		Atomic:         true,
		NeedsSave:      false, // gNMI cannot save, see the package comment
	}
}

// defaultVLAN is where an unconfigured port is on every switch that implements these models.
const defaultVLAN switchdrivers.VLANID = 1

// The model says nothing about port names, so this is what every vendor's fit into and no parser minds: "Ethernet1/1",
// "Port-Channel10", "ge-0/0/1:0", "TwentyFiveGigE1/0/1".
var openConfigPort = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9/_.:-]{0,63}$`)

func (m openConfig) portName(text string) (string, error) {
	if !openConfigPort.MatchString(text) {
		return "", &switchdrivers.PortNameError{Platform: "gnmi/" + m.name(), Text: text, Example: "Ethernet1"}
	}
	return text, nil
}

// A change says nothing about types of interfaces, so the container is chosen by the vendors' names of LAG interfaces.
var openConfigLAG = regexp.MustCompile(`(?i)^(port-?channel|po|bundle-ether|ae|lag|bond|eth-trunk|bridge-aggregation)[0-9]+$`)

func (m openConfig) encode(change switchdrivers.Change) ([]operation, []fault) {
	var ops []operation
	var faults []fault
	for _, c := range change.VLANs {
		ops = append(ops, m.encodeVLAN(c))
	}
	for _, c := range change.Ports {
		portOps, problem := m.encodePort(c)
		if problem != "" {
			faults = append(faults, fault{c.Name, problem})
			continue
		}
		ops = append(ops, portOps...)
	}
	for _, c := range change.Delete {
		ops = append(ops, operation{verb: remove, path: m.vlan(c.ID), vlan: c.ID, why: c.Reason})
	}
	return ops, faults
}

func (m openConfig) vlans() path {
	return to("network-instances").entry("network-instance", "name", m.networkInstance).child("vlans")
}

func (m openConfig) vlan(id switchdrivers.VLANID) path {
	return m.vlans().entry("vlan", "vlan-id", id.String())
}

type vlanEntry struct {
	ID     switchdrivers.VLANID `json:"openconfig-network-instance:vlan-id"`
	Config vlanConfig           `json:"openconfig-network-instance:config"`
}

type vlanConfig struct {
	ID   switchdrivers.VLANID `json:"vlan-id"`
	Name string               `json:"name,omitempty"`
}

func (m openConfig) encodeVLAN(c switchdrivers.VLANChange) operation {
	op := operation{vlan: c.ID, why: c.Reason}
	config := vlanConfig{ID: c.ID}
	if c.To != nil {
		config.Name = c.To.Name
	}
	if c.From == nil {
		op.verb, op.path = replace, m.vlan(c.ID)
	} else { // a rename keeps whatever else the VLAN has, vendors' own leaves for one
		op.verb, op.path = update, m.vlan(c.ID)
	}
	op.value = vlanEntry{c.ID, config}
	return op
}

type switchedVLAN struct {
	Config switchedVLANConfig `json:"openconfig-vlan:config"`
}

type switchedVLANConfig struct {
	Mode   string               `json:"interface-mode"`
	Access switchdrivers.VLANID `json:"access-vlan,omitempty"`
	Native switchdrivers.VLANID `json:"native-vlan,omitempty"`
	Trunk  []any                `json:"trunk-vlans,omitempty"` // numbers, and ranges as "x..y"
}

// encodePort writes one port's complete state. A port that is shut is shut before anything else about it changes, and a port
// that is enabled is enabled last, by an update, which the target processes after every replace: so that even a target that
// does not keep to transactions never has the port up in a VLAN that is not its own.
func (m openConfig) encodePort(c switchdrivers.PortChange) (ops []operation, problem string) {
	config, problem := switchedVLANOf(c)
	if problem != "" {
		return nil, problem
	}
	add := func(v verb, p path, value any) {
		ops = append(ops, operation{verb: v, path: p, value: value, port: c.Name, why: c.Reason})
	}
	port := to("interfaces").entry("interface", "name", c.Name)
	enabled := port.child("config", "enabled")
	container := "ethernet"
	if openConfigLAG.MatchString(c.Name) {
		container = "aggregation"
	}
	if !c.To.Enabled {
		add(replace, enabled, false)
	}
	add(replace, port.child(container, "switched-vlan"), switchedVLAN{config})
	if c.To.Description != c.From.Description {
		if description := port.child("config", "description"); c.To.Description == "" {
			add(remove, description, nil)
		} else {
			add(replace, description, c.To.Description)
		}
	}
	if c.To.Enabled {
		add(update, enabled, true)
	}
	return ops, ""
}

// switchedVLANOf is the container that a port must have, or why there is none.
func switchedVLANOf(c switchdrivers.PortChange) (config switchedVLANConfig, problem string) {
	to := c.To
	switch {
	case c.From.LAG != "":
		return config, "it is a member of " + c.From.LAG + ", which is the one to configure"
	case to.Mode == switchdrivers.ModeIdle && to.Enabled:
		return config, "an enabled port needs a VLAN"
	case to.Mode == switchdrivers.ModeIdle:
		return switchedVLANConfig{Mode: "ACCESS", Access: defaultVLAN}, ""
	case to.Mode == switchdrivers.ModeAccess && !to.AccessVLAN.Valid():
		return config, "it has no access VLAN"
	case to.Mode == switchdrivers.ModeAccess:
		return switchedVLANConfig{Mode: "ACCESS", Access: to.AccessVLAN}, ""
	case to.Mode != switchdrivers.ModeTrunk:
		return config, "the mode " + string(to.Mode) + " can only be read"
	case to.VLANs().IsEmpty():
		return config, "a trunk that carries no VLAN cannot be told from one that carries all"
	case to.NativeVLAN == 0 && to.TaggedVLANs.Contains(defaultVLAN):
		return config, "VLAN 1 cannot be tagged on a trunk without a native VLAN: it would be that, untagged"
	}
	// The native VLAN is in the list as well: EOS drops untagged frames on a trunk that does not carry their VLAN.
	return switchedVLANConfig{Mode: "TRUNK", Native: to.NativeVLAN, Trunk: trunkVLANs(to.VLANs())}, ""
}

// trunkVLANs writes a set as the union type of the model does: single VLANs are numbers, ranges are strings.
func trunkVLANs(set switchdrivers.VLANSet) []any {
	var out []any
	ids := slices.Collect(set.All())
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		if i == j {
			out = append(out, ids[i])
		} else {
			out = append(out, ids[i].String()+".."+ids[j].String())
		}
		i = j + 1
	}
	return out
}
