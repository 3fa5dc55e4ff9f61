package gnmi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	pb "github.com/openconfig/gnmi/proto/gnmi"
)

// node is one node of a target's answer, put together from however many updates it came in. Module names are gone. A nil node
// is one that the target did not mention.
type node struct {
	listKeys map[string]string
	schema   string // the path from the root, without keys: "interfaces/interface"
	isEntry  bool   // one entry of the list at schema, rather than the list
	children map[string]*node
	entries  map[string]*node // of a list, by the value of its key
	value    any              // of a leaf: string, json.Number, bool, or a []any of those
}

// decodeAnswer puts an answer together. Of lists that listKeys does not know, only that
// they have entries is kept.
func decodeAnswer(listKeys map[string]string, notifications []*pb.Notification) (*node, error) {
	root := &node{listKeys: listKeys, isEntry: true}
	for _, n := range notifications {
		for _, u := range n.GetUpdate() {
			elems := slices.Concat(n.GetPrefix().GetElem(), u.GetPath().GetElem())
			value, err := decodeValue(u.GetVal())
			if err == nil && !isNothing(value) { // NX-OS answers with nothing for what does not exist
				err = root.graft(elems, value)
			}
			if err != nil {
				return nil, fmt.Errorf("at %s: %w", pathText(elems), err)
			}
		}
	}
	return root, nil
}

// graft puts a value at a path below n.
func (n *node) graft(elems []*pb.PathElem, value any) error {
	if len(elems) == 0 {
		return n.set(value)
	}
	first, rest := elems[0], elems[1:]
	child := n.child(bare(first.GetName()))
	// Community SONiC repeats the last name of the path in the value: {"interface": [...]} at /interfaces/interface[name=X].
	if inner, repeated := soleMember(value, bare(first.GetName())); repeated && len(rest) == 0 {
		if _, isList := inner.([]any); isList {
			return child.set(inner)
		}
		value = inner
	}
	if len(first.GetKey()) == 0 {
		return child.graft(rest, value)
	}
	key, known := n.listKeys[child.schema]
	if !known {
		child.value = true // that there is an entry is all that is kept of it
		return nil
	}
	id, ok := first.GetKey()[key]
	if !ok {
		return fmt.Errorf("the path names no %s for the list %s", key, child.schema)
	}
	return child.entry(id).graft(rest, value)
}

// soleMember returns what an object of one member, the named one, holds.
func soleMember(value any, name string) (inner any, ok bool) {
	object, _ := value.(map[string]any)
	if len(object) != 1 {
		return nil, false
	}
	for member, inner := range object {
		if bare(member) == name {
			return inner, true
		}
	}
	return nil, false
}

// set merges a JSON value into the node.
func (n *node) set(value any) error {
	key, isList := n.listKeys[n.schema]
	isList = isList && !n.isEntry
	switch v := value.(type) {
	case nil:
	case map[string]any:
		if isList && len(v) > 0 {
			return n.add(key, v)
		}
		for name, inner := range v {
			if err := n.child(bare(name)).set(inner); err != nil {
				return err
			}
		}
	case []any:
		if !isList {
			n.value = v
			return nil
		}
		for _, item := range v {
			object, ok := item.(map[string]any)
			if !ok {
				return fmt.Errorf("the list %s holds something that is not an object", n.schema)
			}
			if err := n.add(key, object); err != nil {
				return err
			}
		}
	default:
		n.value = v
	}
	return nil
}

// add merges an object into the list entry that it names by its key leaf.
func (n *node) add(key string, object map[string]any) error {
	for name, value := range object {
		if bare(name) != key {
			continue
		}
		if id, ok := text(value); ok {
			return n.entry(id).set(object)
		}
	}
	return fmt.Errorf("an entry of the list %s has no %s", n.schema, key)
}

func (n *node) child(name string) *node {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	c := n.children[name]
	if c == nil {
		schema := name
		if n.schema != "" {
			schema = n.schema + "/" + name
		}
		c = &node{listKeys: n.listKeys, schema: schema}
		n.children[name] = c
	}
	return c
}

func (n *node) entry(id string) *node {
	if n.entries == nil {
		n.entries = map[string]*node{}
	}
	e := n.entries[id]
	if e == nil {
		e = &node{listKeys: n.listKeys, schema: n.schema, isEntry: true}
		n.entries[id] = e
	}
	return e
}

// at returns the node below n by names, or nil.
func (n *node) at(names ...string) *node {
	for _, name := range names {
		if n == nil {
			return nil
		}
		n = n.children[name]
	}
	return n
}

// in returns the entry of the list n by its key, or nil.
func (n *node) in(id string) *node {
	if n == nil {
		return nil
	}
	return n.entries[id]
}

// list returns the entries of the list below n.
func (n *node) list(names ...string) map[string]*node {
	if l := n.at(names...); l != nil {
		return l.entries
	}
	return nil
}

// holds reports whether there is any value at or below n.
func (n *node) holds() bool {
	if n == nil {
		return false
	}
	if list, isList := n.value.([]any); n.value != nil && (!isList || len(list) > 0) {
		return true
	}
	for _, c := range n.children {
		if c.holds() {
			return true
		}
	}
	for _, e := range n.entries {
		if e.holds() {
			return true
		}
	}
	return false
}

// text reads a leaf as a string; "" when there is none.
func (n *node) text(names ...string) (string, error) {
	leaf := n.at(names...)
	if leaf == nil || leaf.value == nil {
		return "", nil
	}
	s, ok := text(leaf.value)
	if !ok {
		return "", fmt.Errorf("%s is not a single value", leaf.schema)
	}
	return s, nil
}

// name reads a leaf that is an enumeration or an identity, without its module.
func (n *node) name(names ...string) (string, error) {
	s, err := n.text(names...)
	return bare(s), err
}

// flag reads a boolean leaf, or otherwise when there is none.
func (n *node) flag(otherwise bool, names ...string) (bool, error) {
	s, err := n.text(names...)
	if err != nil || s == "" {
		return otherwise, err
	}
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s is %q, which is neither true nor false", n.at(names...).schema, s)
}

// texts reads a leaf-list. A single value is a list of one.
func (n *node) texts(names ...string) (list []string, present bool, err error) {
	leaf := n.at(names...)
	if leaf == nil || leaf.value == nil {
		return nil, false, nil
	}
	items, isList := leaf.value.([]any)
	if !isList {
		items = []any{leaf.value}
	}
	for _, item := range items {
		s, ok := text(item)
		if !ok {
			return nil, true, fmt.Errorf("%s holds something that is not a value", leaf.schema)
		}
		list = append(list, s)
	}
	return list, true, nil
}

// text writes a scalar as text: numbers as they came, since JSON_IETF writes some of them as strings anyway.
func text(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

func isNothing(value any) bool {
	object, isObject := value.(map[string]any)
	return value == nil || isObject && len(object) == 0
}

// decodeValue returns a value as encoding/json would, numbers as json.Number. An empty value is nil.
func decodeValue(v *pb.TypedValue) (any, error) {
	switch v := v.GetValue().(type) {
	case nil:
		return nil, nil
	case *pb.TypedValue_JsonIetfVal:
		return decodeJSON(v.JsonIetfVal)
	case *pb.TypedValue_JsonVal:
		return decodeJSON(v.JsonVal)
	case *pb.TypedValue_StringVal:
		return v.StringVal, nil
	case *pb.TypedValue_AsciiVal:
		return v.AsciiVal, nil
	case *pb.TypedValue_BoolVal:
		return v.BoolVal, nil
	case *pb.TypedValue_IntVal:
		return json.Number(strconv.FormatInt(v.IntVal, 10)), nil
	case *pb.TypedValue_UintVal:
		return json.Number(strconv.FormatUint(v.UintVal, 10)), nil
	case *pb.TypedValue_DoubleVal:
		return json.Number(strconv.FormatFloat(v.DoubleVal, 'g', -1, 64)), nil
	case *pb.TypedValue_LeaflistVal:
		list := []any{}
		for _, item := range v.LeaflistVal.GetElement() {
			one, err := decodeValue(item)
			if err != nil {
				return nil, err
			}
			list = append(list, one)
		}
		return list, nil
	case *pb.TypedValue_FloatVal, *pb.TypedValue_DecimalVal, *pb.TypedValue_BytesVal: //nolint:staticcheck // only recognised
		return "", nil // counters and the like: no configuration that is looked at is of these types
	}
	return nil, fmt.Errorf("the value is encoded as %T, which was not asked for", v.GetValue())
}

func decodeJSON(data []byte) (any, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("the value is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the value is more than one piece of JSON")
	}
	return value, nil
}

// pathText writes a path of the target's for an error message.
func pathText(elems []*pb.PathElem) string {
	var p path
	for _, e := range elems {
		p = append(p, elem{e.GetName(), e.GetKey()})
	}
	if len(p) == 0 {
		return "/"
	}
	return strings.ToValidUTF8(p.String(), "?")
}
