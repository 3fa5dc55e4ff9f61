package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// parseConfig reads the configuration text of the family of systems that write blocks: a line without indentation opens one, the
// indented lines after it belong to it. The dialect's grammar says what the lines mean.
//
// A configuration line that concerns VLANs and is not understood never makes a port look emptier than it is: it is an error, or
// the port reads as carrying everything, with the line as its Problem.
func (d *Dialect) parseConfig(text string) (switchdrivers.State, error) {
	g := &d.Read.Grammar
	state := switchdrivers.State{VLANs: map[switchdrivers.VLANID]switchdrivers.VLAN{}, Ports: map[string]switchdrivers.Port{}}
	for id, name := range d.VLANs.Implicit {
		state.VLANs[switchdrivers.VLANID(id)] = switchdrivers.VLAN{Name: name}
	}
	ports := map[string]*portText{}
	var (
		port          *portText              // the open block is this port's
		vlans         []switchdrivers.VLANID // the open block is these VLANs'
		indent        int                    // of the lines of the open block
		literal       *regexp.Regexp         // we are in quoted text until this line
		complete      bool
		defaultRouted bool
		problem       error
	)
	for number, raw := range strings.Split(text, "\n") {
		raw = strings.TrimRight(raw, " \r\t")
		line := strings.TrimLeft(raw, " \t")
		if literal != nil {
			if literal.MatchString(line) {
				literal = nil
			}
			continue
		}
		if line == "" || g.Comment != "" && strings.HasPrefix(line, g.Comment) {
			continue
		}
		depth := len(raw) - len(line)
		complete = false
		if depth == 0 {
			port, vlans, indent = nil, nil, 0
			switch {
			case g.end.MatchString(line):
				complete = true
			case g.literalFrom != nil && g.literalFrom.MatchString(line):
				literal = g.literalTo
			default:
				if m := g.iface.FindStringSubmatch(line); m != nil {
					if name, ok := d.Ports.canonical(m[1]); ok {
						if ports[name] == nil {
							ports[name] = newPortText(g)
						}
						port = ports[name]
					}
				} else if ids, err := g.vlanBlock(line); err != nil {
					problem = fmt.Errorf("line %d: %w", number+1, err)
				} else if ids != nil {
					vlans = ids
					for _, id := range ids {
						state.VLANs[id] = switchdrivers.VLAN{}
					}
				} else if rule, _ := match(g.GlobalLines, line); rule != nil {
					defaultRouted = true
				}
			}
			continue
		}
		if indent == 0 {
			indent = depth
		}
		if depth != indent {
			continue // a block inside the block
		}
		switch {
		case port != nil:
			if err := port.take(g, line); err != nil {
				problem = fmt.Errorf("line %d: %q: %w", number+1, line, err)
			}
		case vlans != nil:
			if rule, value := match(g.VLANLines, line); rule != nil {
				for _, id := range vlans {
					v := state.VLANs[id]
					if rule.Is == "name" {
						v.Name = value
					} else {
						v.Suspended = true
					}
					state.VLANs[id] = v
				}
			}
		}
		if problem != nil {
			break
		}
	}
	switch {
	case problem != nil:
		return switchdrivers.State{}, problem
	case literal != nil:
		return switchdrivers.State{}, errors.New("a quoted text does not end")
	case !complete:
		return switchdrivers.State{}, errors.New("the configuration is not complete: its last line is missing")
	case len(ports) == 0:
		return switchdrivers.State{}, errors.New("the configuration has no port that the dialect knows")
	}
	for name, p := range ports {
		if defaultRouted && !p.saidSwitched {
			p.routed = true
		}
		state.Ports[name] = p.port(g, d.VLANs.Table, state.VLANs)
		if p.lag != "" {
			addMember(&state, p.lag, name)
		}
	}
	sortMembers(state)
	return state, nil
}

// vlanBlock returns the VLANs that a line opens a block for; nil when it does not.
func (g *ConfigGrammar) vlanBlock(line string) ([]switchdrivers.VLANID, error) {
	if g.vlan == nil {
		return nil, nil
	}
	m := g.vlan.FindStringSubmatch(line)
	if m == nil {
		return nil, nil
	}
	set, err := switchdrivers.ParseVLANSet(m[1])
	if err != nil {
		return nil, err
	}
	var ids []switchdrivers.VLANID
	for id := range set.All() {
		ids = append(ids, id)
	}
	return ids, nil
}

// portText is what the lines of one interface block say.
type portText struct {
	enabled, routed bool
	saidSwitched    bool
	mode            string
	oddMode         string // a mode that the grammar names but the model does not have
	access, native  switchdrivers.VLANID
	allowed         switchdrivers.VLANSet
	description     string
	lag             string
	problems        []string
}

func newPortText(g *ConfigGrammar) *portText {
	return &portText{enabled: g.Defaults.Enabled, mode: g.Defaults.Mode, access: g.Defaults.Access, native: g.Defaults.Native,
		allowed: g.Defaults.Allowed}
}

func (p *portText) take(g *ConfigGrammar, line string) error {
	rule, value := match(g.Lines, line)
	if rule == nil {
		return nil
	}
	switch rule.Is {
	case "problem":
		value = line
	case "switched":
		p.saidSwitched = true
	}
	return meanings[rule.Is](p, value)
}

// port is the canonical form of what the lines say.
func (p *portText) port(g *ConfigGrammar, table bool, vlans map[switchdrivers.VLANID]switchdrivers.VLAN) switchdrivers.Port {
	out := switchdrivers.Port{Enabled: p.enabled, Description: p.description, LAG: p.lag}
	problems := p.problems
	switch {
	case p.lag != "":
		return out
	case p.routed:
		out.Mode = switchdrivers.ModeRouted
		return out
	case p.oddMode != "":
		// Nobody knows what it lets through, so it is taken to be everything.
		out.Mode, out.NativeVLAN = switchdrivers.ModeTrunk, p.access
		out.TaggedVLANs = switchdrivers.AllVLANs().Minus(switchdrivers.VLANs(p.access))
		problems = append(problems, "the mode is "+p.oddMode)
	case p.mode == "trunk":
		out.Mode = switchdrivers.ModeTrunk
		if p.allowed.Contains(p.native) {
			out.NativeVLAN = p.native
		}
		out.TaggedVLANs = p.allowed.Minus(switchdrivers.VLANs(out.NativeVLAN))
		if table && out.NativeVLAN != 0 {
			problems = append(problems, vlanProblem("native", out.NativeVLAN, vlans)...)
		}
	case !p.enabled && p.access == g.Defaults.Access:
		// The default VLAN on a port that is shut: it was let go.
	default:
		out.Mode, out.AccessVLAN = switchdrivers.ModeAccess, p.access
		if table {
			problems = append(problems, vlanProblem("access", p.access, vlans)...)
		}
	}
	out.Problem = strings.Join(problems, "; ")
	return out
}

// vlanProblem says what is wrong with the VLAN that untagged frames of a port join: the configuration is accepted, but no frame
// passes.
func vlanProblem(what string, id switchdrivers.VLANID, vlans map[switchdrivers.VLANID]switchdrivers.VLAN) []string {
	v, exists := vlans[id]
	switch {
	case !exists:
		return []string{fmt.Sprintf("%s VLAN %d does not exist, the port is inactive", what, id)}
	case v.Suspended:
		return []string{fmt.Sprintf("%s VLAN %d is suspended", what, id)}
	}
	return nil
}
