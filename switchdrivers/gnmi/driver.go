package gnmi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/switchbind/switchbind/switchdrivers"
)

// Driver speaks gNMI with one switch. It implements switchdrivers.Driver and switchdrivers.Pinger, and like them it is for one
// caller at a time.
type Driver struct {
	platform *Platform
	sw       switchdrivers.Switch
	address  string
	trace    func(direction, text string)
	session  *session // nil until needed, and after every error
}

var (
	_ switchdrivers.Platform = (*Platform)(nil)
	_ switchdrivers.Driver   = (*Driver)(nil)
	_ switchdrivers.Pinger   = (*Driver)(nil)
)

// origin tells the target whose model the paths are of. It is OpenConfig's own default, but not every vendor's.
const origin = "openconfig"

// A scope of more ports than this is read as the whole switch.
const mostPorts = 128

// Read implements switchdrivers.Driver: one Get, as a rule. A target that does not know how to be asked for configuration only,
// or for a port that it does not have, is asked again in another way.
func (d *Driver) Read(ctx context.Context, scope switchdrivers.Scope) (switchdrivers.State, error) {
	if err := d.connect(ctx); err != nil {
		return switchdrivers.State{}, err
	}
	state, err := d.read(ctx, scope.Ports)
	if err != nil {
		d.drop()
		return switchdrivers.State{}, err
	}
	return state, nil
}

// read asks in the way that served last time, and in other ways while the target does not understand or finds nothing.
func (d *Driver) read(ctx context.Context, ports []string) (switchdrivers.State, error) {
	const doing = "reading the configuration"
	s := d.session
	if s.wholly || len(ports) > mostPorts {
		ports = nil
	}
	kind, wanted, refused, missing := s.getType, ports, false, false
	for {
		notifications, err := d.ask(ctx, kind, ports)
		if status.Code(err) == codes.NotFound && ports == nil {
			notifications, err = d.askApart(ctx, kind)
		}
		var state switchdrivers.State
		if err == nil {
			if state, err = d.decode(doing, notifications, ports); err != nil {
				return state, err
			}
			if len(state.Ports) > 0 {
				s.getType = kind
				// All ports are there, but were not found: this target finds nothing where no port is in a LAG.
				s.wholly = s.wholly || refused || missing && hasAll(state, wanted)
				return state, nil
			}
		}
		switch code := status.Code(err); {
		case (err == nil || code == codes.NotFound) && ports != nil:
			// One port that is not there takes the others with it. What is there is in the whole.
			ports, missing = nil, true
		case (err == nil || doesNotUnderstand(code)) && kind == pb.GetRequest_CONFIG:
			kind = pb.GetRequest_ALL
		case doesNotUnderstand(code) && ports != nil:
			kind, ports, refused = s.getType, nil, true
		case err == nil:
			return state, &switchdrivers.UnreadableError{Switch: d.sw.Name, Doing: doing,
				Err: errors.New("no switch port is in the answer")}
		default:
			return state, d.failure(ctx, doing, nil, err)
		}
	}
}

func hasAll(state switchdrivers.State, ports []string) bool {
	for _, port := range ports {
		if _, ok := state.Ports[port]; !ok {
			return false
		}
	}
	return true
}

// doesNotUnderstand is how targets refuse a Get for configuration only, a wildcard, or a port.
func doesNotUnderstand(code codes.Code) bool {
	return code == codes.InvalidArgument || code == codes.Unimplemented
}

// ask sends one Get for ports and VLANs, and returns gRPC's own error.
func (d *Driver) ask(ctx context.Context, kind pb.GetRequest_DataType, ports []string) ([]*pb.Notification, error) {
	interfaces, vlans := d.platform.model.paths(ports)
	return d.get(ctx, kind, slices.Concat(interfaces, vlans))
}

// askApart asks for ports and VLANs one after the other, for a target that refuses both because the VLAN table is empty.
func (d *Driver) askApart(ctx context.Context, kind pb.GetRequest_DataType) ([]*pb.Notification, error) {
	interfaces, vlans := d.platform.model.paths(nil)
	notifications, err := d.get(ctx, kind, interfaces)
	if err != nil {
		return nil, err
	}
	more, err := d.get(ctx, kind, vlans)
	if err != nil && status.Code(err) != codes.NotFound {
		return nil, err
	}
	return append(notifications, more...), nil
}

func (d *Driver) get(ctx context.Context, kind pb.GetRequest_DataType, paths []path) ([]*pb.Notification, error) {
	request := &pb.GetRequest{Type: kind, Encoding: d.session.encoding}
	for _, p := range paths {
		request.Path = append(request.Path, p.proto(origin))
		d.tell("send", "get "+strings.ToLower(request.Type.String())+" "+p.String())
	}
	within, cancel := context.WithTimeout(ctx, atLeast(d.sw.Timeouts.Command))
	defer cancel()
	response, err := d.session.target.Get(within, request)
	if err != nil {
		d.tell("receive", d.words(err))
		return nil, err
	}
	d.tell("receive", fmt.Sprintf("%d notifications", len(response.GetNotification())))
	return response.GetNotification(), nil
}

// decode understands an answer, or says that it does not.
func (d *Driver) decode(doing string, notifications []*pb.Notification, ports []string) (switchdrivers.State, error) {
	answer, err := decodeAnswer(d.platform.model.listKeys(), notifications)
	if err == nil {
		var state switchdrivers.State
		if state, err = d.platform.model.decode(answer, ports); err == nil {
			return state, nil
		}
	}
	return switchdrivers.State{}, &switchdrivers.UnreadableError{Switch: d.sw.Name, Doing: doing, Err: err}
}

// Apply implements switchdrivers.Driver: one Set.
func (d *Driver) Apply(ctx context.Context, change switchdrivers.Change) error {
	ops, err := d.platform.operations(d.sw.Name, change)
	if err != nil || len(ops) == 0 {
		return err
	}
	if err := d.connect(ctx); err != nil {
		return err
	}
	for _, op := range ops {
		d.tell("send", op.String())
	}
	within, cancel := context.WithTimeout(ctx, atLeast(d.sw.Timeouts.Commit))
	defer cancel()
	response, err := d.session.target.Set(within, setRequest(ops, d.session.encoding))
	if err != nil {
		d.tell("receive", d.words(err))
		err = d.failure(ctx, "writing the change", ops, err)
	} else {
		err = d.refusals(ops, response)
	}
	if err != nil {
		d.drop()
	}
	return err
}

// setRequest is the operations as one message. They are in the order of a SetRequest's fields already.
func setRequest(ops []operation, encoding pb.Encoding) *pb.SetRequest {
	request := &pb.SetRequest{}
	for _, op := range ops {
		target := op.path.proto(origin)
		switch op.verb {
		case remove:
			request.Delete = append(request.Delete, target)
		case replace:
			request.Replace = append(request.Replace, &pb.Update{Path: target, Val: encodeValue(op.json(), encoding)})
		case update:
			request.Update = append(request.Update, &pb.Update{Path: target, Val: encodeValue(op.json(), encoding)})
		}
	}
	return request
}

func encodeValue(text []byte, encoding pb.Encoding) *pb.TypedValue {
	if encoding == pb.Encoding_JSON {
		return &pb.TypedValue{Value: &pb.TypedValue_JsonVal{JsonVal: withoutModules(text)}}
	}
	return &pb.TypedValue{Value: &pb.TypedValue_JsonIetfVal{JsonIetfVal: text}}
}

// withoutModules takes the module names off, which only JSON_IETF has (gNMI specification, section 2.3.1).
func withoutModules(text []byte) []byte {
	value, err := decodeJSON(text)
	if err != nil {
		return text
	}
	out, err := json.Marshal(bareNames(value))
	if err != nil {
		return text
	}
	return out
}

func bareNames(value any) any {
	object, ok := value.(map[string]any)
	if !ok {
		return value
	}
	out := make(map[string]any, len(object))
	for name, inner := range object {
		out[bare(name)] = bareNames(inner)
	}
	return out
}

// refusals finds results that carry an error although the RPC was a success. The field is deprecated since gNMI 0.4; targets
// that still fill it mean it.
func (d *Driver) refusals(ops []operation, response *pb.SetResponse) error {
	refused := &switchdrivers.RefusedError{Switch: d.sw.Name}
	for _, result := range response.GetResponse() {
		message := result.GetMessage() //nolint:staticcheck // see above
		if message.GetCode() == uint32(codes.OK) || message.GetCode() == uint32(codes.Aborted) && message.GetMessage() == "" {
			continue
		}
		words := codes.Code(message.GetCode()).String() + ": " + message.GetMessage()
		refused.Rejections = append(refused.Rejections, blame(ops, pathText(result.GetPath().GetElem())+": "+words))
	}
	if len(refused.Rejections) == 0 {
		return nil
	}
	return refused
}

// Save implements switchdrivers.Driver. gNMI has nothing to save with (see the package comment), so it does nothing.
func (d *Driver) Save(context.Context) error { return nil }

// Close implements switchdrivers.Driver.
func (d *Driver) Close() error {
	d.drop()
	return nil
}

// Identify implements switchdrivers.Pinger with what the target says in answer to Capabilities.
func (d *Driver) Identify(ctx context.Context) (string, error) {
	if err := d.connect(ctx); err != nil {
		return "", err
	}
	s := d.session
	within, cancel := context.WithTimeout(ctx, atLeast(d.sw.Timeouts.Command))
	defer cancel()
	fresh, err := s.target.Capabilities(within)
	if status.Code(err) == codes.Unimplemented {
		return "a gNMI target that does not tell its capabilities", nil
	}
	if err != nil {
		err = d.failure(ctx, "asking for its capabilities", nil, err)
		d.drop()
		return "", err
	}
	return summary(fresh, s.encoding), nil
}

// summary is the answer to Capabilities in one line, with the versions of the models that matter.
func summary(c *pb.CapabilityResponse, encoding pb.Encoding) string {
	parts := []string{"gNMI " + clean(c.GetGNMIVersion()), encoding.String(), fmt.Sprintf("%d models", len(c.GetSupportedModels()))}
	var organizations []string
	for _, m := range c.GetSupportedModels() {
		switch bare(m.GetName()) {
		case "openconfig-interfaces", "openconfig-vlan", "openconfig-network-instance":
			parts = append(parts, clean(m.GetName()+" "+m.GetVersion()))
		}
		if o := clean(m.GetOrganization()); o != "" && !strings.Contains(o, "OpenConfig") && !slices.Contains(organizations, o) {
			organizations = append(organizations, o)
		}
	}
	slices.Sort(organizations)
	if len(organizations) > 0 {
		parts = append(parts, "models by "+strings.Join(organizations[:min(3, len(organizations))], ", "))
	}
	return strings.Join(parts, ", ")
}

// clean makes the target's words fit for one line of a terminal.
func clean(words string) string {
	quoted := switchdrivers.Quote(words)
	return quoted[1 : len(quoted)-1]
}

func (d *Driver) tell(direction, text string) {
	if d.trace != nil {
		d.trace(direction, text)
	}
}
