package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// Keys in a Port's external_ids. OVSDB has neither port descriptions nor a lasting "shut down".
const (
	ovsDescription = "switchbind-description"
	// ovsParked says what a closed port (trunk of VLAN 4095 alone) stands for: "shut access 110", "shut trunk 10 100,200-210" or
	// "open trunk" (enabled, but with no VLAN). Without it a closed port is idle.
	ovsParked = "switchbind-parked"
)

// ovsTable is one table as `ovs-vsctl --format=json list` prints it.
type ovsTable struct {
	Headings []string            `json:"headings"`
	Data     [][]json.RawMessage `json:"data"`
}

type ovsRow map[string]json.RawMessage

type ovsPort struct {
	name, mode  string
	tag         []int
	trunks      []int
	protected   bool     // does not reach other protected ports
	interfaces  []string // UUIDs
	externalIDs map[string]string
}

// parseOVS reads the tables Port, Interface and Bridge, in this order, as one transaction printed them. The meaning of the
// columns is that of ovs-vswitchd.conf.db(5), section "VLAN Configuration".
func parseOVS(text string) (switchdrivers.State, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var tables [3][]ovsRow
	for i := range tables {
		var t ovsTable
		if err := decoder.Decode(&t); err != nil {
			return switchdrivers.State{}, fmt.Errorf("table %d: %w", i+1, err)
		}
		for _, data := range t.Data {
			if len(data) != len(t.Headings) {
				return switchdrivers.State{}, fmt.Errorf("table %d: a row of %d columns under %d headings", i+1, len(data), len(t.Headings))
			}
			row := ovsRow{}
			for column, heading := range t.Headings {
				row[heading] = data[column]
			}
			tables[i] = append(tables[i], row)
		}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return switchdrivers.State{}, errors.New("there is text after the last table")
	}
	return ovsState(tables[0], tables[1], tables[2])
}

func ovsState(ports, interfaces, bridges []ovsRow) (switchdrivers.State, error) {
	state := switchdrivers.State{Ports: map[string]switchdrivers.Port{}}
	nameOf := map[string]string{}
	for _, row := range interfaces {
		uuid, err := row.uuids("_uuid")
		if err == nil && len(uuid) != 1 {
			err = fmt.Errorf("%d values", len(uuid))
		}
		if err != nil {
			return state, fmt.Errorf("table Interface: %w", err)
		}
		if nameOf[uuid[0]], err = row.text("name"); err != nil {
			return state, err
		}
	}
	local := map[string]bool{} // a bridge's own port leads to the host's network stack, never to a cable
	for _, row := range bridges {
		name, err := row.text("name")
		if err != nil {
			return state, err
		}
		local[name] = true
	}
	for _, row := range ports {
		p, err := row.port()
		if err != nil {
			return state, err
		}
		if local[p.name] {
			continue
		}
		if _, twice := state.Ports[p.name]; twice {
			return state, fmt.Errorf("port %q is there twice", p.name)
		}
		if state.Ports[p.name], err = p.state(); err != nil {
			return state, fmt.Errorf("port %q: %w", p.name, err)
		}
		for _, uuid := range p.interfaces {
			member, known := nameOf[uuid]
			if !known {
				return state, fmt.Errorf("port %q has an interface that is not in the table", p.name)
			}
			if member != p.name {
				state.Ports[member] = switchdrivers.Port{Enabled: true, LAG: p.name}
				addMember(&state, p.name, member)
			}
		}
	}
	sortMembers(state)
	return state, nil
}

// state is the port in the shared model.
func (p ovsPort) state() (switchdrivers.Port, error) {
	out := switchdrivers.Port{Enabled: true, Description: p.externalIDs[ovsDescription]}
	tag := 0
	if len(p.tag) > 0 {
		tag = p.tag[0]
	}
	if tag < 0 || tag > 4095 {
		return out, fmt.Errorf("tag %d", tag)
	}
	trunks, zero, err := ovsVLANs(p.trunks)
	if err != nil {
		return out, err
	}
	mode := p.mode
	if mode == "" { // the mode that the columns imply
		if mode = "trunk"; len(p.tag) > 0 {
			mode = "access"
		}
	}
	if mode != "access" && len(p.trunks) == 0 {
		trunks, zero = switchdrivers.AllVLANs(), true // an empty set is a trunk of everything
	}
	native := switchdrivers.VLANID(tag)
	var problems []string
	switch mode {
	case "access":
		out.Mode = switchdrivers.ModeAccess
		if native.Valid() {
			out.AccessVLAN = native
		} else {
			problems = append(problems, fmt.Sprintf("untagged frames join VLAN %d", tag))
		}
	case "trunk":
		out.Mode, out.TaggedVLANs = switchdrivers.ModeTrunk, trunks
		if zero {
			problems = append(problems, "untagged frames are carried in VLAN 0")
		}
		if len(p.trunks) == 1 && p.trunks[0] == 4095 {
			if p.protected {
				return ovsParkedPort(out.Description, p.externalIDs[ovsParked]), nil
			}
			problems = append(problems, "frames tagged 4095 reach other closed ports: the column protected is false")
		}
	case "native-tagged", "native-untagged", "dot1q-tunnel":
		out.Mode = switchdrivers.ModeTrunk
		if mode == "dot1q-tunnel" {
			trunks = switchdrivers.AllVLANs()
		}
		if native.Valid() {
			out.NativeVLAN, out.TaggedVLANs = native, trunks.Minus(switchdrivers.VLANs(native))
		} else {
			out.TaggedVLANs = trunks
			problems = append(problems, fmt.Sprintf("untagged frames join VLAN %d", tag))
		}
		if mode != "native-untagged" {
			problems = append(problems, "vlan_mode is "+mode)
		}
	default:
		return out, fmt.Errorf("unknown vlan_mode %q", p.mode)
	}
	if p.protected {
		problems = append(problems, "other protected ports are not reached: the column protected is true")
	}
	out.Problem = strings.Join(problems, "; ")
	return out, nil
}

// ovsParkedPort is a closed port, which forwards nothing whatever its note says.
func ovsParkedPort(description, note string) switchdrivers.Port {
	out := switchdrivers.Port{Description: description}
	words := strings.Fields(note)
	switch {
	case note == "open trunk":
		out.Enabled, out.Mode = true, switchdrivers.ModeTrunk
	case len(words) == 3 && words[0] == "shut" && words[1] == "access":
		if id, err := switchdrivers.ParseVLANID(words[2]); err == nil {
			out.Mode, out.AccessVLAN = switchdrivers.ModeAccess, id
		}
	case len(words) == 4 && words[0] == "shut" && words[1] == "trunk":
		tagged, err := switchdrivers.ParseVLANSet(words[3])
		native, nativeErr := switchdrivers.ParseVLANID(words[2])
		if err == nil && (nativeErr == nil || words[2] == "0") {
			out.Mode, out.NativeVLAN, out.TaggedVLANs = switchdrivers.ModeTrunk, native, tagged.Minus(switchdrivers.VLANs(native))
		}
	}
	return out
}

// ovsVLANs reads the column trunks; VLAN 0 stands for untagged frames, and 4095 carries no tenant's.
func ovsVLANs(ids []int) (set switchdrivers.VLANSet, zero bool, err error) {
	var valid []switchdrivers.VLANID
	for _, n := range ids {
		switch {
		case n == 0:
			zero = true
		case n < 0 || n > 4095:
			return set, zero, fmt.Errorf("VLAN %d", n)
		case n < 4095:
			valid = append(valid, switchdrivers.VLANID(n))
		}
	}
	return switchdrivers.VLANs(valid...), zero, nil
}

func (r ovsRow) port() (p ovsPort, err error) {
	var errs [7]error
	p.name, errs[0] = r.text("name")
	var modes []string
	modes, errs[1] = r.texts("vlan_mode")
	if len(modes) == 1 {
		p.mode = modes[0]
	}
	p.tag, errs[2] = r.numbers("tag")
	p.trunks, errs[3] = r.numbers("trunks")
	p.interfaces, errs[4] = r.uuids("interfaces")
	p.externalIDs, errs[5] = r.textMap("external_ids")
	var protected []bool
	protected, errs[6] = decodeAtoms[bool](r, "protected")
	p.protected = len(protected) == 1 && protected[0]
	return p, errors.Join(errs[:]...)
}

// atoms returns the elements of an OVSDB value (RFC 7047, section 5.1): a lone atom, or ["set", [atoms]].
func (r ovsRow) atoms(column string) ([]json.RawMessage, error) {
	raw, ok := r[column]
	if !ok {
		return nil, fmt.Errorf("column %s is missing", column)
	}
	var pair []json.RawMessage
	if json.Unmarshal(raw, &pair) != nil {
		return []json.RawMessage{raw}, nil
	}
	var kind string
	if len(pair) != 2 || json.Unmarshal(pair[0], &kind) != nil {
		return nil, fmt.Errorf("column %s: %s", column, switchdrivers.Quote(string(raw)))
	}
	if kind != "set" {
		return []json.RawMessage{raw}, nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(pair[1], &items); err != nil {
		return nil, fmt.Errorf("column %s: %w", column, err)
	}
	return items, nil
}

func decodeAtoms[T any](r ovsRow, column string) ([]T, error) {
	atoms, err := r.atoms(column)
	if err != nil {
		return nil, err
	}
	out := make([]T, len(atoms))
	for i, atom := range atoms {
		if err := json.Unmarshal(atom, &out[i]); err != nil {
			return nil, fmt.Errorf("column %s: %w", column, err)
		}
	}
	return out, nil
}

func (r ovsRow) texts(column string) ([]string, error) { return decodeAtoms[string](r, column) }
func (r ovsRow) numbers(column string) ([]int, error)  { return decodeAtoms[int](r, column) }

func (r ovsRow) text(column string) (string, error) {
	all, err := r.texts(column)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("column %s has %d values", column, len(all))
	}
	if err != nil {
		return "", err
	}
	return all[0], nil
}

func (r ovsRow) uuids(column string) ([]string, error) {
	pairs, err := decodeAtoms[[]string](r, column)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(pairs))
	for i, pair := range pairs {
		if len(pair) != 2 || pair[0] != "uuid" {
			return nil, fmt.Errorf("column %s: not a UUID: %q", column, pair)
		}
		out[i] = pair[1]
	}
	slices.Sort(out)
	return out, nil
}

func (r ovsRow) textMap(column string) (map[string]string, error) {
	raw, ok := r[column]
	if !ok {
		return nil, fmt.Errorf("column %s is missing", column)
	}
	var pair []json.RawMessage
	var kind string
	var items [][2]string
	if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
		return nil, fmt.Errorf("column %s is not a map", column)
	}
	if err := json.Unmarshal(pair[0], &kind); err != nil || kind != "map" {
		return nil, fmt.Errorf("column %s is not a map", column)
	}
	if err := json.Unmarshal(pair[1], &items); err != nil {
		return nil, fmt.Errorf("column %s: %w", column, err)
	}
	out := map[string]string{}
	for _, item := range items {
		out[item[0]] = item[1]
	}
	return out, nil
}
