package switchdrivers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Registry holds the platforms that exist, by driver and dialect. It is a value that the program builds; nothing registers
// itself. It is read-only once it is in use.
type Registry map[string]map[string]Platform

// Add registers a platform. Two of one name are a mistake of the program or of a dialect file.
func (r Registry) Add(driver, dialect string, p Platform) error {
	if r[driver] == nil {
		r[driver] = map[string]Platform{}
	}
	if _, twice := r[driver][dialect]; twice {
		return fmt.Errorf("dialect %q of driver %q is defined twice", dialect, driver)
	}
	r[driver][dialect] = p
	return nil
}

// Find returns a platform, or an error that lists those there are.
func (r Registry) Find(driver, dialect string) (Platform, error) {
	dialects, ok := r[driver]
	if !ok {
		return nil, fmt.Errorf("unknown driver %q; there are: %s", driver, strings.Join(slices.Sorted(maps.Keys(r)), ", "))
	}
	p, ok := dialects[dialect]
	if !ok {
		return nil, fmt.Errorf("unknown dialect %q for driver %q; there are: %s", dialect, driver,
			strings.Join(slices.Sorted(maps.Keys(dialects)), ", "))
	}
	return p, nil
}
