package switchdrivers

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// VLANID is an IEEE 802.1Q VLAN identifier. The values a port can be put into are 1 to 4094; the zero value means
// "no VLAN". 0 (priority-tagged) and 4095 (reserved) are never valid.
type VLANID uint16

// The range of VLAN identifiers that IEEE 802.1Q leaves to configuration.
const (
	MinVLAN VLANID = 1
	MaxVLAN VLANID = 4094
)

// NewVLANID checks a number and returns it as a VLAN identifier.
func NewVLANID(n int) (VLANID, error) {
	if n < int(MinVLAN) || n > int(MaxVLAN) {
		return 0, fmt.Errorf("VLAN %d is out of range: it must be %d to %d", n, MinVLAN, MaxVLAN)
	}
	return VLANID(n), nil
}

// ParseVLANID reads a decimal VLAN identifier.
func ParseVLANID(s string) (VLANID, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("VLAN %q is not a number from %d to %d", clip(s), MinVLAN, MaxVLAN)
	}
	return NewVLANID(n)
}

// Valid reports whether v can be configured on a port.
func (v VLANID) Valid() bool { return v >= MinVLAN && v <= MaxVLAN }

func (v VLANID) String() string { return strconv.Itoa(int(v)) }

type vlanRange struct{ lo, hi VLANID }

// VLANSet is an immutable set of VLAN identifiers. The zero value is the empty set. It is written as switches write it:
// "100,200-210". It is kept as ranges, because the set that hurts most, "all VLANs", is one range.
type VLANSet struct{ ranges []vlanRange }

// AllVLANs is every VLAN from 1 to 4094: what a trunk carries on most switches when nobody restricted it.
func AllVLANs() VLANSet { return VLANSet{[]vlanRange{{MinVLAN, MaxVLAN}}} }

// VLANs returns the set of the given identifiers. Invalid ones are left out; check them with [NewVLANID] first.
func VLANs(ids ...VLANID) VLANSet {
	sorted := slices.DeleteFunc(slices.Clone(ids), func(v VLANID) bool { return !v.Valid() })
	slices.Sort(sorted)
	var set VLANSet
	for _, id := range sorted {
		set.extend(vlanRange{id, id})
	}
	return set
}

// extend adds a range that starts no earlier than the last one does.
func (s *VLANSet) extend(r vlanRange) {
	if n := len(s.ranges); n > 0 && r.lo <= s.ranges[n-1].hi+1 {
		s.ranges[n-1].hi = max(s.ranges[n-1].hi, r.hi)
		return
	}
	s.ranges = append(s.ranges, r)
}

// ParseVLANSet reads "100,200-210" in any order, with blanks around commas and dashes allowed. The empty string and "none"
// are the empty set; "all" is [AllVLANs].
func ParseVLANSet(text string) (VLANSet, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "none":
		return VLANSet{}, nil
	case "all":
		return AllVLANs(), nil
	}
	var ranges []vlanRange
	for part := range strings.SplitSeq(text, ",") {
		lo, hi, dashed := strings.Cut(part, "-")
		first, err := ParseVLANID(strings.TrimSpace(lo))
		if err != nil {
			return VLANSet{}, err
		}
		last := first
		if dashed {
			if last, err = ParseVLANID(strings.TrimSpace(hi)); err != nil {
				return VLANSet{}, err
			}
		}
		if last < first {
			return VLANSet{}, fmt.Errorf("VLAN range %q runs backwards", clip(strings.TrimSpace(part)))
		}
		ranges = append(ranges, vlanRange{first, last})
	}
	return normal(ranges), nil
}

func normal(ranges []vlanRange) VLANSet {
	slices.SortFunc(ranges, func(a, b vlanRange) int { return int(a.lo) - int(b.lo) })
	var set VLANSet
	for _, r := range ranges {
		set.extend(r)
	}
	return set
}

// IsEmpty reports whether the set has no VLAN.
func (s VLANSet) IsEmpty() bool { return len(s.ranges) == 0 }

// Len is the number of VLANs in the set.
func (s VLANSet) Len() int {
	n := 0
	for _, r := range s.ranges {
		n += int(r.hi-r.lo) + 1
	}
	return n
}

// Contains reports whether v is in the set.
func (s VLANSet) Contains(v VLANID) bool {
	for _, r := range s.ranges {
		if v >= r.lo && v <= r.hi {
			return true
		}
	}
	return false
}

// All yields the VLANs in ascending order.
func (s VLANSet) All() iter.Seq[VLANID] {
	return func(yield func(VLANID) bool) {
		for _, r := range s.ranges {
			for v := r.lo; v <= r.hi; v++ {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// Union returns the VLANs that are in either set.
func (s VLANSet) Union(t VLANSet) VLANSet {
	return normal(append(slices.Clone(s.ranges), t.ranges...))
}

// Minus returns the VLANs of s that are not in t.
func (s VLANSet) Minus(t VLANSet) VLANSet {
	var out VLANSet
	for _, r := range s.ranges {
		lo := int(r.lo)
		for _, cut := range t.ranges {
			if cut.hi < r.lo || cut.lo > r.hi {
				continue
			}
			if int(cut.lo) > lo {
				out.extend(vlanRange{VLANID(lo), cut.lo - 1})
			}
			lo = max(lo, int(cut.hi)+1)
		}
		if lo <= int(r.hi) {
			out.extend(vlanRange{VLANID(lo), r.hi})
		}
	}
	return out
}

// With returns s with the given VLANs added.
func (s VLANSet) With(ids ...VLANID) VLANSet { return s.Union(VLANs(ids...)) }

// Equal reports whether both sets hold the same VLANs.
func (s VLANSet) Equal(t VLANSet) bool { return slices.Equal(s.ranges, t.ranges) }

// String writes the set as switches do: "100,200-210"; the empty set is "".
func (s VLANSet) String() string { return s.Join(",", "-") }

// Join writes the set with the separators of the reader: commas and dashes for most switches, ".." in YANG ranges.
func (s VLANSet) Join(comma, dash string) string {
	parts := make([]string, len(s.ranges))
	for i, r := range s.ranges {
		parts[i] = r.text(dash)
	}
	return strings.Join(parts, comma)
}

func (r vlanRange) text(dash string) string {
	if r.lo == r.hi {
		return r.lo.String()
	}
	return r.lo.String() + dash + r.hi.String()
}

// list is the form of the set in YAML and JSON: numbers, and ranges as strings.
func (s VLANSet) list() []any {
	out := make([]any, len(s.ranges))
	for i, r := range s.ranges {
		if r.lo == r.hi {
			out[i] = int(r.lo)
		} else {
			out[i] = r.text("-")
		}
	}
	return out
}

func (s *VLANSet) fromList(items []any) error {
	var all VLANSet
	for _, item := range items {
		one, err := ParseVLANSet(fmt.Sprint(item))
		if err != nil {
			return err
		}
		all = all.Union(one)
	}
	*s = all
	return nil
}

// MarshalJSON writes [100,"200-210"].
func (s VLANSet) MarshalJSON() ([]byte, error) { return json.Marshal(s.list()) }

// UnmarshalJSON reads a list of numbers and range strings, or one string of them.
func (s *VLANSet) UnmarshalJSON(b []byte) error {
	return s.decode(func(v any) error { return json.Unmarshal(b, v) })
}

// MarshalYAML writes [100, 200-210].
func (s VLANSet) MarshalYAML() (any, error) { return s.list(), nil }

// UnmarshalYAML reads a list of numbers and ranges, or one string of them.
func (s *VLANSet) UnmarshalYAML(unmarshal func(any) error) error { return s.decode(unmarshal) }

func (s *VLANSet) decode(unmarshal func(any) error) error {
	var items []any
	if unmarshal(&items) == nil {
		return s.fromList(items)
	}
	var one any
	if err := unmarshal(&one); err != nil {
		return err
	}
	switch one.(type) {
	case string, float64, int, int64, uint64:
		return s.fromList([]any{one})
	case nil:
		*s = VLANSet{}
		return nil
	}
	return fmt.Errorf("a VLAN list is written as [100, 200-210] or \"100,200-210\"")
}

// clip shortens text of unknown origin for an error message.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
