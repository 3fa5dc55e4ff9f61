package switchdrivers

import (
	"fmt"
	"regexp"
	"strconv"
)

// PortList is a list of port names and ranges as an operator writes them: "Ethernet1", "Ethernet1-48" (the last number
// runs), or "*" for every port.
type PortList []string

var portRange = regexp.MustCompile(`^(.*?)(\d+)-(\d+)$`)

// Contains reports whether the canonical port name is in the list. Names in the list are compared as written, so they are
// made canonical first, by [PortList.Canonical].
func (l PortList) Contains(port string) bool {
	for _, item := range l {
		if item == "*" || item == port {
			return true
		}
		prefix, lo, hi, ok := splitRange(item)
		if !ok || len(port) <= len(prefix) || port[:len(prefix)] != prefix {
			continue
		}
		digits := port[len(prefix):]
		if n, err := strconv.Atoi(digits); err == nil && n >= lo && n <= hi && strconv.Itoa(n) == digits {
			return true
		}
	}
	return false
}

// Names returns the list with every range written out. "*" is left out: it names no port.
func (l PortList) Names() []string {
	var names []string
	for _, item := range l {
		prefix, lo, hi, ok := splitRange(item)
		switch {
		case item == "*":
		case !ok:
			names = append(names, item)
		default:
			for n := lo; n <= hi; n++ {
				names = append(names, prefix+strconv.Itoa(n))
			}
		}
	}
	return names
}

// Canonical returns the list with every name in the spelling of the platform.
func (l PortList) Canonical(p Platform) (PortList, error) {
	out := make(PortList, 0, len(l))
	for _, item := range l {
		if item == "*" {
			out = append(out, item)
			continue
		}
		if prefix, lo, hi, ok := splitRange(item); ok {
			if hi < lo || hi-lo > 4096 {
				return nil, fmt.Errorf("port range %q runs backwards or is too long", item)
			}
			first, err := p.PortName(prefix + strconv.Itoa(lo))
			if err != nil {
				return nil, err
			}
			out = append(out, first+"-"+strconv.Itoa(hi))
			continue
		}
		name, err := p.PortName(item)
		if err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, nil
}

// splitRange reads "Ethernet1-48". A name whose own spelling ends in digit, dash, digit does not exist on any NOS we know
// ("ethernet-1/1" has no digit before its dash).
func splitRange(item string) (prefix string, lo, hi int, ok bool) {
	m := portRange.FindStringSubmatch(item)
	if m == nil {
		return "", 0, 0, false
	}
	lo, err1 := strconv.Atoi(m[2])
	hi, err2 := strconv.Atoi(m[3])
	return m[1], lo, hi, err1 == nil && err2 == nil
}
