package gnmi

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

func (openConfig) listKeys() map[string]string {
	return map[string]string{
		"interfaces/interface":                            "name",
		"interfaces/interface/subinterfaces/subinterface": "index",
		"network-instances/network-instance":              "name",
		"network-instances/network-instance/vlans/vlan":   "vlan-id",
	}
}

// paths asks for whole interfaces: the containers of interest are spread over three modules, and a container that happens not
// to exist would make many targets refuse the whole request. For a few ports, membership in LAGs needs a path of its own,
// since the members may be other ports.
func (m openConfig) paths(ports []string) (interfaces, vlans []path) {
	list := to("interfaces")
	if ports == nil {
		return []path{list}, []path{m.vlans()}
	}
	for _, port := range ports {
		interfaces = append(interfaces, list.entry("interface", "name", port))
	}
	interfaces = append(interfaces, list.entry("interface", "name", "*").child("ethernet", "config", "aggregate-id"))
	return interfaces, []path{m.vlans()}
}

func (m openConfig) decode(answer *node, ports []string) (switchdrivers.State, error) {
	state := switchdrivers.State{
		VLANs: map[switchdrivers.VLANID]switchdrivers.VLAN{},
		Ports: map[string]switchdrivers.Port{},
		LAGs:  map[string]switchdrivers.LAG{},
	}
	table := answer.at("network-instances", "network-instance").in(m.networkInstance)
	for id, entry := range table.list("vlans", "vlan") {
		if err := decodeVLAN(&state, id, entry); err != nil {
			return switchdrivers.State{}, err
		}
	}
	interfaces := answer.list("interfaces", "interface")
	for _, name := range slices.Sorted(maps.Keys(interfaces)) {
		if err := m.decodeInterface(&state, name, interfaces[name], ports); err != nil {
			return switchdrivers.State{}, fmt.Errorf("interface %s: %w", switchdrivers.Quote(name), err)
		}
	}
	return state, nil
}

func decodeVLAN(state *switchdrivers.State, text string, entry *node) error {
	id, err := switchdrivers.ParseVLANID(text)
	if err != nil {
		return err
	}
	// A VLAN that is in use but not configured has a state and no config: those that EOS takes for its routed ports.
	if !entry.at("config").holds() && entry.at("state").holds() {
		return nil
	}
	name, err := entry.text("config", "name")
	if err != nil {
		return err
	}
	status, err := entry.name("config", "status")
	if err != nil {
		return err
	}
	state.VLANs[id] = switchdrivers.VLAN{Name: name, Suspended: status == "SUSPENDED"}
	return nil
}

// Interfaces of other types are no switch ports. An interface without a type is taken for a port, unless its name says that it
// is none: to overlook a port is worse than to list one too many.
var (
	openConfigPortTypes = []string{"", "ethernetCsmacd", "ieee8023adLag"}
	openConfigNoPort    = regexp.MustCompile(`(?i)^(vlan|loopback|lo|tunnel|vxlan|null|irb|bvi|nve|recirc)[-.]?[0-9]*$`)
	openConfigMgmt      = regexp.MustCompile(`(?i)^(management|mgmt|mgmteth|fxp|em|ma)[0-9/]*$`)
)

func (m openConfig) decodeInterface(state *switchdrivers.State, name string, entry *node, ports []string) error {
	lag, err := entry.text("ethernet", "config", "aggregate-id")
	if err != nil {
		return err
	}
	if lag != "" {
		members := append(state.LAGs[lag].Members, name)
		slices.Sort(members)
		state.LAGs[lag] = switchdrivers.LAG{Members: members}
	}
	if ports != nil && !slices.Contains(ports, name) || !entry.holds() {
		return nil
	}
	kind, err := entry.name("config", "type")
	if kind == "" && err == nil {
		kind, err = entry.name("state", "type")
	}
	if err != nil {
		return err
	}
	if !slices.Contains(openConfigPortTypes, kind) || openConfigNoPort.MatchString(name) {
		return nil
	}
	if _, err := m.portName(name); err != nil {
		return nil // nobody could name it in a binding
	}
	port, err := decodePort(name, kind, entry, state.VLANs)
	if err != nil {
		return err
	}
	state.Ports[name] = port
	if _, known := state.LAGs[name]; !known && isLAG(name, kind) {
		state.LAGs[name] = switchdrivers.LAG{}
	}
	return nil
}

type vlanTable = map[switchdrivers.VLANID]switchdrivers.VLAN

func isLAG(name, kind string) bool { return kind == "ieee8023adLag" || openConfigLAG.MatchString(name) }

func decodePort(name, kind string, entry *node, vlans vlanTable) (port switchdrivers.Port, err error) {
	if port.Enabled, err = entry.flag(true, "config", "enabled"); err != nil {
		return port, err
	}
	if port.Description, err = entry.text("config", "description"); err != nil {
		return port, err
	}
	if port.LAG, err = entry.text("ethernet", "config", "aggregate-id"); err != nil || port.LAG != "" {
		return port, err
	}
	container := entry.at("ethernet", "switched-vlan")
	if other := entry.at("aggregation", "switched-vlan"); isLAG(name, kind) && other.holds() || !container.holds() {
		container = other
	}
	if openConfigMgmt.MatchString(name) || !container.at("config").holds() {
		port.Mode = switchdrivers.ModeRouted
		return port, nil
	}
	if err := decodeSwitchedVLAN(&port, container.at("config")); err != nil {
		return port, err
	}
	if port.Problem == "" && container.at("vlan-translation").holds() {
		port.Problem = "VLAN translation is configured: the port's tags are not the VLANs that they look like"
	}
	if port.Problem == "" && port.Enabled {
		port.Problem = vlanProblem(port, vlans)
	}
	return port, nil
}

func decodeSwitchedVLAN(port *switchdrivers.Port, config *node) error {
	mode, err := config.name("interface-mode")
	if err != nil {
		return err
	}
	access, err := vlanLeaf(config, "access-vlan")
	if err != nil {
		return err
	}
	native, err := vlanLeaf(config, "native-vlan")
	if err != nil {
		return err
	}
	listed, isListed, err := trunkLeaf(config)
	if err != nil {
		return err
	}
	if mode == "" { // F5OS leaves it out: what else is there says it
		mode = "ACCESS"
		if isListed || native != 0 {
			mode = "TRUNK"
		}
	}
	switch mode {
	case "ACCESS":
		if access == 0 {
			access = defaultVLAN
		}
		if access == defaultVLAN && !port.Enabled {
			return nil // idle
		}
		port.Mode, port.AccessVLAN = switchdrivers.ModeAccess, access
	case "TRUNK":
		port.Mode = switchdrivers.ModeTrunk
		if !isListed {
			listed = switchdrivers.AllVLANs()
		}
		if native == 0 && listed.Contains(defaultVLAN) {
			native = defaultVLAN
		}
		if native == defaultVLAN && !listed.Contains(defaultVLAN) {
			native = 0
		}
		if native != 0 && !listed.Contains(native) {
			port.Problem = fmt.Sprintf("the native VLAN %d is not among the trunk's VLANs: untagged frames may be dropped", native)
		}
		port.NativeVLAN, port.TaggedVLANs = native, listed.Minus(switchdrivers.VLANs(native))
	default:
		return fmt.Errorf("interface-mode is %s, which is neither ACCESS nor TRUNK", switchdrivers.Quote(mode))
	}
	return nil
}

func vlanLeaf(config *node, leaf string) (switchdrivers.VLANID, error) {
	s, err := config.text(leaf)
	if err != nil || s == "" {
		return 0, err
	}
	return switchdrivers.ParseVLANID(s)
}

// trunkLeaf reads trunk-vlans: numbers, numbers in strings, and ranges "x..y". An empty list is no list: JSON_IETF cannot tell
// the two apart (RFC 7951, section 5.3), and to take it for "none" would overlook a trunk of all VLANs.
func trunkLeaf(config *node) (set switchdrivers.VLANSet, present bool, err error) {
	items, _, err := config.texts("trunk-vlans")
	if err != nil {
		return set, false, err
	}
	for _, item := range items {
		if strings.ContainsRune(item, ',') || strings.Trim(item, "0123456789.-") != "" || item == "" {
			return set, false, fmt.Errorf("trunk-vlans holds %s, which is no VLAN", switchdrivers.Quote(item))
		}
		one, err := switchdrivers.ParseVLANSet(strings.Replace(item, "..", "-", 1))
		if err != nil {
			return set, false, err
		}
		set = set.Union(one)
	}
	return set, len(items) > 0, nil
}

// vlanProblem says which of the port's VLANs are not there to carry its frames. VLAN 1 always is, and a trunk of very many
// VLANs is somebody's uplink, where it is no contradiction.
func vlanProblem(port switchdrivers.Port, vlans vlanTable) string {
	const tooMany = 128
	if port.TaggedVLANs.Len() > tooMany {
		return ""
	}
	for id := range port.VLANs().All() {
		vlan, exists := vlans[id]
		switch {
		case id == defaultVLAN:
		case !exists:
			return fmt.Sprintf("VLAN %d does not exist on the switch: the port does not carry it", id)
		case vlan.Suspended:
			return fmt.Sprintf("VLAN %d is suspended on the switch: the port does not carry it", id)
		}
	}
	return ""
}
