package portbinding

import (
	"context"
	"errors"
	"fmt"

	"github.com/switchbind/switchbind/switchdrivers"
)

// applier sends a change and, when the switch says no to a part of it, sets that part aside and sends the rest at once: one bad
// apple does not spoil the burst it came in.
type applier struct {
	driver  switchdrivers.Driver
	fence   Fence
	most    int // ports per change; 0 is no limit
	refused map[string]error
	vlans   map[switchdrivers.VLANID]error // VLANs that the switch would not create or delete
	sent    int
}

// apply returns nil when everything that was not refused was accepted; any other error means that the state of the switch is not
// known.
func (a *applier) apply(ctx context.Context, c switchdrivers.Change) error {
	if a.most > 0 && len(c.Ports) > a.most {
		first, rest := c, c
		first.Ports, rest.Ports = c.Ports[:a.most], c.Ports[a.most:]
		first.Delete, rest.VLANs = nil, nil
		if err := a.apply(ctx, first); err != nil {
			return err
		}
		return a.apply(ctx, a.withoutRefusedVLANs(rest))
	}
	if c.IsEmpty() {
		return nil
	}
	if err := a.fence(ctx); err != nil {
		return fmt.Errorf("%w: %w", errNotOurs, err)
	}
	a.sent++
	err := a.driver.Apply(ctx, c)
	var no *switchdrivers.RefusedError
	var cannot *switchdrivers.UnsupportedError
	switch {
	case errors.As(err, &no):
	case errors.As(err, &cannot): // a part of the change cannot even be written down, or the whole is too long
		return a.split(ctx, c, err)
	default:
		return err
	}
	rest, blamed := a.blame(c, no)
	if blamed {
		return a.apply(ctx, rest)
	}
	return a.split(ctx, c, no)
}

// blame sets aside what the switch named, and says whether it named anything that is in the change.
func (a *applier) blame(c switchdrivers.Change, no *switchdrivers.RefusedError) (switchdrivers.Change, bool) {
	inChange := map[string]bool{}
	for _, p := range c.Ports {
		inChange[p.Name] = true
	}
	ports, vlans := map[string]bool{}, map[switchdrivers.VLANID]bool{}
	for _, r := range no.Rejections {
		one := &switchdrivers.RefusedError{Switch: no.Switch, Rejections: []switchdrivers.Rejection{r}}
		switch {
		case inChange[r.Port]:
			ports[r.Port] = true
			a.refused[r.Port] = one
		case r.VLAN != 0 && hasVLAN(c, r.VLAN):
			vlans[r.VLAN] = true
			a.vlans[r.VLAN] = one
		}
	}
	return a.without(c, ports, vlans), len(ports)+len(vlans) > 0
}

// without takes ports, and VLANs with every port that needs one of them, out of a change.
func (a *applier) without(c switchdrivers.Change, ports map[string]bool, vlans map[switchdrivers.VLANID]bool) switchdrivers.Change {
	for _, p := range c.Ports {
		for v := range vlans {
			if p.To.VLANs().Contains(v) {
				ports[p.Name] = true
				a.refused[p.Name] = a.vlans[v]
			}
		}
	}
	c = c.Without(ports)
	c.VLANs = lessVLANs(c.VLANs, vlans)
	c.Delete = lessVLANs(c.Delete, vlans)
	return c
}

func (a *applier) withoutRefusedVLANs(c switchdrivers.Change) switchdrivers.Change {
	gone := map[switchdrivers.VLANID]bool{}
	for v := range a.vlans {
		gone[v] = true
	}
	return a.without(c, map[string]bool{}, gone)
}

// split finds the culprit of a refusal that names nobody, by halves.
func (a *applier) split(ctx context.Context, c switchdrivers.Change, no error) error {
	var parts []switchdrivers.Change
	switch {
	case len(c.Delete) > 0 && len(c.VLANs)+len(c.Ports) > 0:
		parts = []switchdrivers.Change{{VLANs: c.VLANs, Ports: c.Ports}, {Delete: c.Delete}}
	case len(c.VLANs) > 0 && len(c.Ports) > 0:
		parts = []switchdrivers.Change{{VLANs: c.VLANs}, {Ports: c.Ports}}
	case len(c.Ports) > 1:
		half := len(c.Ports) / 2
		parts = []switchdrivers.Change{{Ports: c.Ports[:half]}, {Ports: c.Ports[half:]}}
	case len(c.VLANs) > 1:
		half := len(c.VLANs) / 2
		parts = []switchdrivers.Change{{VLANs: c.VLANs[:half]}, {VLANs: c.VLANs[half:]}}
	case len(c.Delete) > 1:
		half := len(c.Delete) / 2
		parts = []switchdrivers.Change{{Delete: c.Delete[:half]}, {Delete: c.Delete[half:]}}
	default: // one thing alone: it is the culprit
		for _, p := range c.Ports {
			a.refused[p.Name] = no
		}
		for _, v := range append(c.VLANs, c.Delete...) {
			a.vlans[v.ID] = no
		}
		return nil
	}
	for _, part := range parts {
		if err := a.apply(ctx, a.withoutRefusedVLANs(part)); err != nil {
			return err
		}
	}
	return nil
}

func hasVLAN(c switchdrivers.Change, id switchdrivers.VLANID) bool {
	for _, list := range [][]switchdrivers.VLANChange{c.VLANs, c.Delete} {
		for _, v := range list {
			if v.ID == id {
				return true
			}
		}
	}
	return false
}

func lessVLANs(list []switchdrivers.VLANChange, gone map[switchdrivers.VLANID]bool) []switchdrivers.VLANChange {
	var out []switchdrivers.VLANChange
	for _, v := range list {
		if !gone[v.ID] {
			out = append(out, v)
		}
	}
	return out
}
