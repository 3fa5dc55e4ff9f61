package switchdrivers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Switch is one switch as the operator describes it in the configuration file. The loader fills in defaults, so that every
// field has its effective value.
type Switch struct {
	Name    string `yaml:"-"`       // the key under `switches`
	Address string `yaml:"address"` // host or host:port
	// SwitchIDs are the MAC addresses by which events may name this switch (`switch_id` in a local link).
	SwitchIDs []MAC  `yaml:"switch_id"`
	Driver    string `yaml:"driver"`  // "ssh" or "gnmi"
	Dialect   string `yaml:"dialect"` // the CLI dialect, or the gNMI model

	Credentials Credentials `yaml:"credentials"`
	HostKey     HostKey     `yaml:"host_key"`
	TLS         TLS         `yaml:"tls"`

	PhysicalNetworks []string `yaml:"physical_networks"`
	// Uplinks lead to other switches, ProtectedPorts to whatever else must not be touched. Neither can be bound.
	Uplinks        PortList `yaml:"uplinks"`
	ProtectedPorts PortList `yaml:"protected_ports"`
	// ManagedPorts are kept idle while nothing is bound to them. Other unbound ports are never touched.
	ManagedPorts PortList `yaml:"managed_ports"`
	AllowedVLANs VLANSet  `yaml:"allowed_vlans"` // empty: all but the NOS's reserved ones
	AllowedPorts PortList `yaml:"allowed_ports"` // empty: all but uplinks and protected ports

	Idle           IdlePolicy `yaml:"idle"`
	ManageVLANs    bool       `yaml:"manage_vlans"`     // create VLANs that bindings need, delete those we created
	VLANNameFormat string     `yaml:"vlan_name_format"` // {network_id}, {network_name}, {vlan}
	Descriptions   bool       `yaml:"descriptions"`     // write "switchbind <port id> <network>" on bound ports
	Unexplained    string     `yaml:"unexplained"`      // "quarantine" or "report", see the guard
	Drift          string     `yaml:"drift"`            // "repair" or "report"
	Save           SavePolicy `yaml:"save"`
	Limits         Limits     `yaml:"limits"`
	Timeouts       Timeouts   `yaml:"timeouts"`
}

// IdlePolicy is what a port is put into when its binding goes.
type IdlePolicy struct {
	// VLAN parks the port, enabled, as an access port of this VLAN. 0, the default, shuts it down.
	VLAN VLANID `yaml:"vlan"`
}

// Port returns the idle state.
func (p IdlePolicy) Port() Port {
	if p.VLAN != 0 {
		return Access(p.VLAN)
	}
	return Idle()
}

// SavePolicy says when the running configuration is saved so that it survives a reload of the switch.
type SavePolicy struct {
	Never bool          `yaml:"never"`
	After time.Duration `yaml:"after"` // how long the switch must be quiet before it is saved; several changes become one save
}

// Limits protect the switch and the change.
type Limits struct {
	PortsPerChange int `yaml:"ports_per_change"` // a larger change is split; 0 is no limit
}

// Timeouts bound every wait. All are positive.
type Timeouts struct {
	Connect time.Duration `yaml:"connect"` // TCP, key exchange, login, first prompt
	Command time.Duration `yaml:"command"` // from one answer to the next
	Commit  time.Duration `yaml:"commit"`  // commits and saves, which some switches think about for long
	Idle    time.Duration `yaml:"idle"`    // how long an unused session is kept
	Poll    time.Duration `yaml:"poll"`    // how often an untouched switch is compared; 0 is never
}

// Credentials say where the secrets are; they hold none. They are resolved at every login, so a rotated password is used
// without a restart.
type Credentials struct {
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	KeyFile      string `yaml:"key_file"` // SSH private key, OpenSSH format
	Agent        bool   `yaml:"agent"`    // use the ssh-agent at SSH_AUTH_SOCK; only when asked for
	// EnablePasswordFile and EnablePasswordEnv hold the secret for a privileged mode that asks for one.
	EnablePasswordFile string `yaml:"enable_password_file"`
	EnablePasswordEnv  string `yaml:"enable_password_env"`
}

// HostKey says which SSH host keys are believed. With all fields zero none is, and the switch cannot be used.
type HostKey struct {
	KnownHosts      string   `yaml:"known_hosts"`        // an OpenSSH known_hosts file
	Fingerprints    []string `yaml:"fingerprints"`       // "SHA256:..." as ssh-keygen -l prints them
	TrustOnFirstUse bool     `yaml:"trust_on_first_use"` // believe the first key ever seen, pin it from then on
}

// TLS says how a gNMI target is believed. The zero value is TLS 1.2 or later with the system's CAs.
type TLS struct {
	CA         string `yaml:"ca"`          // PEM file; the system's pool when empty
	Cert       string `yaml:"cert"`        // client certificate (mutual TLS), PEM file
	Key        string `yaml:"key"`         // its key, PEM file
	ServerName string `yaml:"server_name"` // what the certificate must say, when that is not the address
	MinVersion string `yaml:"min_version"` // "1.2" or "1.3"
	SkipVerify bool   `yaml:"skip_verify"` // encrypted, but anybody could be at the other end; shown as a warning
	Insecure   bool   `yaml:"insecure"`    // no TLS at all; shown as a warning
}

// Environment is what a driver gets from the service besides the switch's description.
type Environment struct {
	// Pins keeps host keys that were trusted on first use. It is nil where nothing may be remembered.
	Pins PinStore
	// Trace, when set, is told every line that is sent to and received from a switch, after secrets were removed.
	Trace func(direction, text string)
}

// PinStore remembers, for each switch, the fingerprint of the first host key that was seen. It is safe for concurrent use.
type PinStore interface {
	Pinned(switchName string) (fingerprint string, err error)
	Pin(switchName, fingerprint string) error
	Unpin(switchName string) error // the hardware was replaced: the next key is the first one again
}

// Inventory is every switch that the configuration names, checked and indexed. It is immutable.
type Inventory struct {
	switches map[string]*Switch
	platform map[string]Platform
	byMAC    map[MAC]string
	parking  map[string]VLANSet // physical network -> VLANs in which some switch parks idle ports
}

// NewInventory checks the switches against the registered platforms and makes their port names canonical. The error names every
// fault found, one a line.
func NewInventory(switches []Switch, platforms Registry) (*Inventory, error) {
	inv := &Inventory{switches: map[string]*Switch{}, platform: map[string]Platform{}, byMAC: map[MAC]string{}, parking: map[string]VLANSet{}}
	var faults []string
	fault := func(sw Switch, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("switch %s: ", sw.Name)+fmt.Sprintf(format, args...))
	}
	for _, sw := range switches {
		if _, twice := inv.switches[sw.Name]; twice {
			fault(sw, "named twice")
			continue
		}
		platform, err := platforms.Find(sw.Driver, sw.Dialect)
		if err != nil {
			fault(sw, "%v", err)
			continue
		}
		for _, list := range []*PortList{&sw.Uplinks, &sw.ProtectedPorts, &sw.ManagedPorts, &sw.AllowedPorts} {
			canonical, err := list.Canonical(platform)
			if err != nil {
				fault(sw, "%v", err)
			}
			*list = canonical
		}
		for _, id := range sw.SwitchIDs {
			if other, taken := inv.byMAC[id]; taken {
				fault(sw, "switch_id %s is also that of %s", id, other)
			}
			inv.byMAC[id] = sw.Name
		}
		for _, port := range sw.ManagedPorts.Names() {
			if sw.Uplinks.Contains(port) || sw.ProtectedPorts.Contains(port) {
				fault(sw, "port %s is listed in managed_ports and also as an uplink or protected port", port)
			}
		}
		if v := sw.Idle.VLAN; v != 0 && (!v.Valid() || platform.Traits().ReservedVLANs.Contains(v)) {
			fault(sw, "idle.vlan %d cannot be used on %s", v, sw.Dialect)
		}
		if sw.Idle.VLAN != 0 {
			for _, physical := range sw.PhysicalNetworks {
				inv.parking[physical] = inv.parking[physical].With(sw.Idle.VLAN)
			}
		}
		inv.switches[sw.Name] = &sw
		inv.platform[sw.Name] = platform
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(faults, "\n"))
	}
	return inv, nil
}

// Names returns the switches' names in order.
func (inv *Inventory) Names() []string { return slices.Sorted(maps.Keys(inv.switches)) }

// Switch returns the description of a switch, or nil. The result must not be changed.
func (inv *Inventory) Switch(name string) *Switch { return inv.switches[name] }

// Platform returns the platform of a switch that the inventory has.
func (inv *Inventory) Platform(name string) Platform { return inv.platform[name] }

// Parking returns the VLANs of a physical network in which idle ports are parked, enabled: no tenant may have them.
func (inv *Inventory) Parking(physicalNetwork string) VLANSet { return inv.parking[physicalNetwork] }

// ByMAC returns the name of the switch with this switch_id.
func (inv *Inventory) ByMAC(id MAC) (string, bool) {
	name, ok := inv.byMAC[id]
	return name, ok
}

// Warnings tell what in the description weakens security, in words for the operator.
func (sw *Switch) Warnings() []string {
	var out []string
	switch {
	case sw.TLS.Insecure:
		out = append(out, "tls.insecure: credentials and configuration cross the network in the clear")
	case sw.TLS.SkipVerify:
		out = append(out, "tls.skip_verify: anybody could answer in the switch's place")
	}
	if sw.HostKey.TrustOnFirstUse {
		out = append(out, "host_key.trust_on_first_use: the first key seen is believed")
	}
	if sw.Save.Never {
		out = append(out, "save.never: changes are lost when the switch reloads")
	}
	return out
}
