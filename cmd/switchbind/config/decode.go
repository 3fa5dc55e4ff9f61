package config

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/switchbind/switchbind/switchdrivers"
)

// decoder puts a syntax tree into Go values. It is our own, on top of the library's parser, for three reasons: it goes on after
// a fault, so that all are told at once; it decodes on top of values that are already there, which is what defaults are; and it
// never quotes the source, which may hold a password that somebody put there against all advice.
type decoder struct {
	file    string
	faults  []Fault
	where   map[string]Position // of every key that was given
	anchors map[string]ast.Node
}

func (d *decoder) fault(n ast.Node, path, format string, args ...any) {
	d.faults = append(d.faults, Fault{d.position(n), clipPath(path), fmt.Sprintf(format, args...)})
}

func (d *decoder) position(n ast.Node) Position {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return Position{File: d.file}
	}
	p := n.GetToken().Position
	return Position{d.file, p.Line, p.Column}
}

// resolve follows anchors, aliases and tags to the value itself. It is nil after a fault.
func (d *decoder) resolve(n ast.Node, path string) ast.Node {
	for range 32 { // an alias may lead to an alias; a circle must not hold us
		switch x := n.(type) {
		case *ast.AnchorNode:
			n = x.Value
		case *ast.AliasNode:
			target, known := d.anchors[x.Value.String()]
			if !known {
				d.fault(x, path, "the alias has no anchor before it")
				return nil
			}
			n = target
		case *ast.TagNode:
			d.fault(x, path, "tags are not understood here, leave it out")
			return nil
		default:
			return n
		}
	}
	d.fault(n, path, "the alias leads to itself")
	return nil
}

// collectAnchors remembers every anchor of the tree.
func (d *decoder) collectAnchors(n ast.Node) {
	ast.Walk(visitor(func(n ast.Node) {
		if a, ok := n.(*ast.AnchorNode); ok {
			d.anchors[a.Name.String()] = a.Value
		}
	}), n)
}

type visitor func(ast.Node)

func (v visitor) Visit(n ast.Node) ast.Visitor {
	v(n)
	return v
}

// pair is one key of a mapping with its value.
type pair struct {
	key    string
	at     ast.Node // the key
	value  ast.Node
	merged bool // came in by `<<`
}

// mapping returns the pairs of a mapping, merged ones (`<<: *anchor`) first, and those without a value left out where
// null means nothing.
func (d *decoder) mapping(n ast.Node, path string, depth int) (pairs []pair, ok bool) {
	n = d.resolve(n, path)
	var values []*ast.MappingValueNode
	switch x := n.(type) {
	case nil:
		return nil, false
	case *ast.MappingNode:
		values = x.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{x}
	case *ast.NullNode:
		return nil, true
	default:
		d.fault(n, path, "must be a group of keys, not %s", kind(n))
		return nil, false
	}
	own := map[string]bool{}
	for _, v := range values {
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			if depth > 8 || own["<<"] { // more than one at each level would also be a way to keep us busy for ever
				d.fault(v.Key, path, "<< is given twice, leads too deep, or leads to itself")
				continue
			}
			own["<<"] = true
			more, _ := d.mapping(v.Value, path, depth+1)
			for _, m := range more {
				m.merged = true
				pairs = append(pairs, m)
			}
			continue
		}
		key, isText := scalarText(v.Key)
		if !isText {
			d.fault(v.Key, path, "a key must be a plain word")
			continue
		}
		if own[key] {
			d.fault(v.Key, join(path, key), "the key is given twice")
			continue
		}
		own[key] = true
		pairs = append(pairs, pair{key, v.Key, v.Value, false})
	}
	// What is merged in steps back behind what is given here.
	return slices.DeleteFunc(pairs, func(p pair) bool { return p.merged && own[p.key] }), true
}

// into decodes a node on top of what target already holds.
func (d *decoder) into(n ast.Node, target reflect.Value, path string) {
	n = d.resolve(n, path)
	if n == nil {
		return
	}
	switch t := target.Addr().Interface().(type) {
	case *switchdrivers.VLANID:
		d.vlan(n, t, path)
	case *switchdrivers.VLANSet:
		d.vlanSet(n, t, path)
	case *switchdrivers.MAC:
		d.mac(n, t, path)
	case *switchdrivers.PortList:
		d.portList(n, t, path)
	case *time.Duration:
		d.duration(n, t, path)
	default:
		d.plain(n, target, path)
	}
}

func (d *decoder) plain(n ast.Node, target reflect.Value, path string) {
	switch target.Kind() {
	case reflect.Struct:
		d.structure(n, target, path)
	case reflect.Slice:
		d.list(n, target, path)
	case reflect.String:
		d.text(n, target, path)
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			target.SetBool(b.Value)
			return
		}
		d.wrongType(n, path, "true or false")
	case reflect.Int:
		if i, ok := integer(n); ok {
			target.SetInt(int64(i))
			return
		}
		d.wrongType(n, path, "a whole number")
	case reflect.Float64:
		if f, ok := number(n); ok {
			target.SetFloat(f)
			return
		}
		d.wrongType(n, path, "a number")
	default: // a struct of ours has a field of a kind that nobody taught this function: the schema test finds that
		d.fault(n, path, "cannot be configured")
	}
}

func (d *decoder) structure(n ast.Node, target reflect.Value, path string) {
	pairs, ok := d.mapping(n, path, 0)
	if !ok {
		return
	}
	fields := keysOf(target.Type())
	for _, p := range pairs {
		at := join(path, p.key)
		i, known := fields[p.key]
		if !known {
			d.unknown(p, at, slices.Sorted(maps.Keys(fields)))
			continue
		}
		d.where[at] = d.position(p.at)
		d.into(p.value, target.Field(i), at)
	}
}

// unknown reports a key that does not exist, with the one that was meant.
func (d *decoder) unknown(p pair, path string, known []string) {
	problem := "unknown key"
	hint := nearest(p.key, known)
	switch {
	case slices.Contains(known, p.key+"_file"): // somebody is about to put a secret into the file
		problem += ": secrets do not go into this file; use " + p.key + "_file"
		if slices.Contains(known, p.key+"_env") {
			problem += " or " + p.key + "_env"
		}
	case hint != "":
		problem += fmt.Sprintf("; did you mean %q?", hint)
	default:
		problem += "; there are: " + strings.Join(known, ", ")
	}
	d.fault(p.at, path, "%s", problem)
}

func (d *decoder) list(n ast.Node, target reflect.Value, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrongType(n, path, "a list, such as [a, b]")
		return
	}
	list := reflect.MakeSlice(target.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		d.into(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	target.Set(list)
}

func (d *decoder) text(n ast.Node, target reflect.Value, path string) {
	text, ok := scalarText(n)
	if _, quoted := n.(*ast.StringNode); ok && !quoted {
		// `min_version: 1.2` is a number to YAML, and clear enough to us.
		_, literal := n.(*ast.LiteralNode)
		ok = literal || slices.Contains(choicesFor(path), text)
	}
	if !ok {
		d.wrongType(n, path, "text (put it in quotes)")
		return
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		d.fault(n, path, "must be one line without control characters")
		return
	}
	target.SetString(text)
}

func (d *decoder) vlan(n ast.Node, target *switchdrivers.VLANID, path string) {
	i, ok := integer(n)
	if !ok {
		d.wrongType(n, path, "a VLAN number")
		return
	}
	if i == 0 {
		*target = 0
		return
	}
	v, err := switchdrivers.NewVLANID(i)
	if err != nil {
		d.fault(n, path, "%v", err)
		return
	}
	*target = v
}

func (d *decoder) vlanSet(n ast.Node, target *switchdrivers.VLANSet, path string) {
	const form = "VLANs and ranges, such as [100, 200-210]"
	var all switchdrivers.VLANSet
	ok := d.items(n, path, form, func(item ast.Node, at, text string) {
		set, err := switchdrivers.ParseVLANSet(text)
		if err != nil {
			d.fault(item, at, "%v", err)
		}
		all = all.Union(set)
	})
	if ok {
		*target = all
	}
}

func (d *decoder) portList(n ast.Node, target *switchdrivers.PortList, path string) {
	list := switchdrivers.PortList{}
	ok := d.items(n, path, "port names and ranges, such as [Ethernet1-48, Ethernet50]", func(item ast.Node, at, text string) {
		for name := range strings.SplitSeq(text, ",") {
			if name = strings.TrimSpace(name); name == "" {
				d.fault(item, at, "a port name is empty")
				continue
			}
			list = append(list, name)
		}
	})
	if ok {
		*target = list
	}
}

// items calls each with the text of every item of a list, or of the one value that stands in place of a list. It reports
// whether the node was such a thing.
func (d *decoder) items(n ast.Node, path, form string, each func(item ast.Node, at, text string)) bool {
	nodes := []ast.Node{n}
	seq, isList := n.(*ast.SequenceNode)
	if isList {
		nodes = seq.Values
	}
	for i, item := range nodes {
		at := path
		if isList {
			at = fmt.Sprintf("%s[%d]", path, i)
		}
		if item = d.resolve(item, at); item == nil {
			return false
		}
		text, ok := scalarText(item)
		if _, null := item.(*ast.NullNode); !ok || null {
			d.wrongType(item, at, form)
			return false
		}
		each(item, at, text)
	}
	return true
}

func (d *decoder) mac(n ast.Node, target *switchdrivers.MAC, path string) {
	text, ok := scalarText(n) // 525400000001 without quotes is a number to YAML
	if !ok {
		d.wrongType(n, path, "a MAC address")
		return
	}
	mac, err := switchdrivers.ParseMAC(text)
	if err != nil {
		d.fault(n, path, "%v", err)
		return
	}
	*target = mac
}

func (d *decoder) duration(n ast.Node, target *time.Duration, path string) {
	text, ok := scalarText(n)
	if i, isNumber := number(n); isNumber && i != 0 {
		d.fault(n, path, "a duration needs a unit, such as %ss or %sm", text, text)
		return
	}
	if !ok {
		d.wrongType(n, path, "a duration, such as 30s or 5m")
		return
	}
	v, err := time.ParseDuration(text)
	switch {
	case err != nil:
		d.fault(n, path, "%s is not a duration; write one such as 30s, 5m or 1h30m", switchdrivers.Quote(text))
	case v < 0:
		d.fault(n, path, "a duration must not be negative")
	default:
		*target = v
	}
}

// wrongType says what was expected and what kind of thing was found, but never the thing itself.
func (d *decoder) wrongType(n ast.Node, path, want string) {
	d.fault(n, path, "must be %s, not %s", want, kind(n))
}

func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a group of keys"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.InfinityNode, *ast.NanNode:
		return "an infinite or undefined number"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	}
	return "this"
}

// scalarText returns a scalar as it was written, without quotes.
func scalarText(n ast.Node) (string, bool) {
	switch x := n.(type) {
	case *ast.StringNode:
		return x.Value, true
	case *ast.LiteralNode:
		return strings.TrimSuffix(x.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func integer(n ast.Node) (int, bool) {
	x, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch v := x.Value.(type) {
	case int64:
		return int(v), v >= math.MinInt32 && v <= math.MaxInt32
	case uint64:
		return int(v), v <= math.MaxInt32
	}
	return 0, false
}

func number(n ast.Node) (float64, bool) {
	if f, ok := n.(*ast.FloatNode); ok {
		return f.Value, true
	}
	i, ok := integer(n)
	return float64(i), ok
}

// keysOf maps the YAML keys of a struct to its fields.
func keysOf(t reflect.Type) map[string]int {
	keys := map[string]int{}
	for i := range t.NumField() {
		if key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); key != "" && key != "-" {
			keys[key] = i
		}
	}
	return keys
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// clipPath keeps a path that ends in outside text readable.
func clipPath(path string) string {
	const most = 120
	path = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, path)
	if r := []rune(path); len(r) > most {
		return string(r[:most]) + "…"
	}
	return path
}
