package cli

import (
	"fmt"
	"slices"

	"github.com/switchbind/switchbind/switchdrivers"
)

// Platform is a dialect as the rest of switchbind sees it. It is safe for concurrent use.
type Platform struct{ dialect *Dialect }

var _ switchdrivers.Platform = (*Platform)(nil)

// NewPlatform makes a platform of a loaded dialect.
func NewPlatform(d *Dialect) *Platform { return &Platform{d} }

// Dialect returns the platform's data. It must not be changed.
func (p *Platform) Dialect() *Dialect { return p.dialect }

// Traits implements [switchdrivers.Platform].
func (p *Platform) Traits() switchdrivers.Traits {
	d := p.dialect
	return switchdrivers.Traits{
		ReservedVLANs:  d.VLANs.Reserved,
		HasVLANTable:   d.VLANs.Table,
		VLANNameLength: d.VLANs.Name.Length,
		Descriptions:   d.Descriptions.Length > 0,
		Atomic:         true, // of the styles there are so far
		NeedsSave:      d.NeedsSave,
	}
}

// PortName implements [switchdrivers.Platform].
func (p *Platform) PortName(text string) (string, error) { return p.dialect.portName(text) }

// VLANName returns the name that the switch will have when it is asked for this one: what a desired state must say, so that it
// compares equal to what is read back.
func (p *Platform) VLANName(text string) string { return p.dialect.VLANs.Name.clean(text) }

// DescriptionText is [Platform.VLANName] for port descriptions.
func (p *Platform) DescriptionText(text string) string { return p.dialect.Descriptions.clean(text) }

// Render implements [switchdrivers.Platform]. Where a session's name is made unique for each change, it is shown without its
// suffix; everything else is what Apply sends.
func (p *Platform) Render(change switchdrivers.Change) (switchdrivers.Script, error) {
	lines, err := p.dialect.render(change, p.dialect.Candidate.Name)
	if err != nil {
		return nil, err
	}
	var script switchdrivers.Script
	for _, line := range lines {
		script = append(script, line.Line)
	}
	return script, nil
}

// Commands returns the commands whose answers [Platform.Parse] understands.
func (p *Platform) Commands() []string { return slices.Clone(p.dialect.Read.Commands) }

// Parse makes a state of the answers to [Platform.Commands], in their order.
func (p *Platform) Parse(outputs []string) (switchdrivers.State, error) {
	state, err := p.dialect.parse(outputs)
	if err != nil {
		return switchdrivers.State{}, fmt.Errorf("dialect %s: %w", p.dialect.Name, err)
	}
	return state, nil
}

// Open implements [switchdrivers.Platform].
func (p *Platform) Open(sw switchdrivers.Switch, env switchdrivers.Environment) (switchdrivers.Driver, error) {
	return newDriver(p.dialect, sw, env), nil
}
