package cli

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// parse turns the answers to the dialect's read commands, in their order, into a state. It is pure.
func (d *Dialect) parse(outputs []string) (switchdrivers.State, error) {
	text := strings.Join(outputs, "\n")
	if d.Read.Parser == "ovs_json" {
		return parseOVS(text)
	}
	return d.parseConfig(text)
}

func addMember(state *switchdrivers.State, lag, member string) {
	if state.LAGs == nil {
		state.LAGs = map[string]switchdrivers.LAG{}
	}
	l := state.LAGs[lag]
	l.Members = append(l.Members, member)
	state.LAGs[lag] = l
}

func sortMembers(state switchdrivers.State) {
	for _, lag := range state.LAGs {
		slices.SortFunc(lag.Members, naturally)
	}
}

// naturally orders "Ethernet2" before "Ethernet10".
func naturally(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da > 0 && db > 0 {
			na, _ := strconv.Atoi(a[:da])
			nb, _ := strconv.Atoi(b[:db])
			if c := cmp.Compare(na, nb); c != 0 {
				return c
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
