package gnmi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// model is one YANG model: everything that differs between the targets, and nothing else. Implementations are pure.
type model interface {
	// name is the dialect in the configuration file.
	name() string
	traits() switchdrivers.Traits
	// portName returns the canonical spelling, or a *switchdrivers.PortNameError.
	portName(text string) (string, error)
	// encode writes a change down as operations, in any order: they are sorted by what the target does first. Ports that ask
	// for what the model cannot say are returned as faults instead.
	encode(change switchdrivers.Change) ([]operation, []fault)
	// paths are what to ask for: the given ports, or all of them where ports is nil. VLANs and LAG membership are always asked
	// for, by paths of their own.
	paths(ports []string) (interfaces, vlans []path)
	// listKeys names the key leaf of each list that decode looks at, by the list's path without keys ("interfaces/interface").
	listKeys() map[string]string
	// decode reads the state out of an answer. Where ports is not nil the answer is complete for those ports only.
	decode(answer *node, ports []string) (switchdrivers.State, error)
}

// verb is what a SetRequest does at a path. The order is the order in which a target processes them (gNMI specification,
// section 3.4.3).
type verb int

const (
	remove verb = iota
	replace
	update
)

func (v verb) String() string { return [...]string{"delete", "replace", "update"}[v] }

// operation is one entry of a SetRequest.
type operation struct {
	verb  verb
	path  path
	value any // what is written as JSON, with module names; not used by remove

	port string               // which port it is for
	vlan switchdrivers.VLANID // which VLAN it is for
	why  string
}

// fault is a port of a change that the model has no words for.
type fault struct {
	port string
	what string
}

// json is the value as JSON_IETF. It is the same for equal operations: it is written from structs, whose fields keep their order.
func (o operation) json() []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(o.value); err != nil { // no model's values hold anything that JSON cannot say
		return []byte("null")
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// String is the operation on one line: `replace /interfaces/interface[name=Ethernet1]/... {"openconfig-vlan:config":...}`.
func (o operation) String() string {
	if o.verb == remove {
		return o.verb.String() + " " + o.path.String()
	}
	return o.verb.String() + " " + o.path.String() + " " + string(o.json())
}

// operations encodes a change, sorts it by the order in which it takes effect, and keeps each reason on its first line only.
func (p *Platform) operations(switchName string, change switchdrivers.Change) ([]operation, error) {
	ops, faults := p.model.encode(change)
	if len(faults) > 0 {
		return nil, newInexpressible(switchName, p.model.name(), faults)
	}
	slices.SortStableFunc(ops, func(a, b operation) int { return cmp.Compare(a.verb, b.verb) })
	said := map[string]bool{}
	for i, op := range ops {
		subject := fmt.Sprint(op.port, "/", op.vlan)
		if said[subject] {
			ops[i].why = ""
		}
		said[subject] = true
	}
	return ops, nil
}

// inexpressible says that some ports of a change ask for what the model cannot say. It is both kinds of error that a caller
// may look for: the ports are refused, as if by the switch, and no retry helps.
type inexpressible struct {
	refused     *switchdrivers.RefusedError
	unsupported *switchdrivers.UnsupportedError
}

func newInexpressible(switchName, modelName string, faults []fault) error {
	refused := &switchdrivers.RefusedError{Switch: switchName}
	var all []string
	for _, f := range faults {
		refused.Rejections = append(refused.Rejections, switchdrivers.Rejection{Port: f.port, Line: "port " + f.port, Words: f.what})
		all = append(all, "port "+f.port+": "+f.what)
	}
	return &inexpressible{refused, &switchdrivers.UnsupportedError{
		Platform: "gnmi/" + modelName, What: strings.Join(all, "; "),
	}}
}

func (e *inexpressible) Error() string   { return e.unsupported.Error() }
func (e *inexpressible) Unwrap() []error { return []error{e.refused, e.unsupported} }
