package gnmi

import (
	"maps"
	"slices"
	"strings"

	pb "github.com/openconfig/gnmi/proto/gnmi"
)

// path is an absolute path in a target's tree. Names and keys travel as structured fields, never as text that a target parses,
// so a key can hold anything.
type path []elem

type elem struct {
	name string
	keys map[string]string
}

// to starts a path at the root.
func to(names ...string) path { return path(nil).child(names...) }

// child is the path to a node below p.
func (p path) child(names ...string) path {
	p = slices.Clone(p)
	for _, name := range names {
		p = append(p, elem{name: name})
	}
	return p
}

// entry is the path to one entry of a list below p.
func (p path) entry(list, key, value string) path {
	return append(slices.Clone(p), elem{list, map[string]string{key: value}})
}

// String writes the path as people do, with the escapes of the gNMI path conventions.
func (p path) String() string {
	var b strings.Builder
	for _, e := range p {
		b.WriteString("/" + e.name)
		for _, key := range slices.Sorted(maps.Keys(e.keys)) {
			b.WriteString("[" + key + "=" + keyEscapes.Replace(e.keys[key]) + "]")
		}
	}
	return b.String()
}

var keyEscapes = strings.NewReplacer(`\`, `\\`, `]`, `\]`)

// proto is the path as it is sent, below the origin.
func (p path) proto(origin string) *pb.Path {
	out := &pb.Path{Origin: origin}
	for _, e := range p {
		out.Elem = append(out.Elem, &pb.PathElem{Name: e.name, Key: e.keys})
	}
	return out
}

// bare is a name without its module: "openconfig-vlan:config" is "config".
func bare(name string) string {
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		return name[i+1:]
	}
	return name
}
