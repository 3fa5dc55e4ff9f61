package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show PORT",
		Short: "Show everything about one binding",
		Long: `Show everything about one binding: what is wanted, what was read back from each switch port, and what
is not yet verified out. ` + portHelp,
		Example: `  switchbind show b16e0dcd-67e8-4442-9a66-4d1692f5846f
  switchbind show b16e
  switchbind show leaf1/Ethernet1`,
		Args:              oneArg,
		ValidArgsFunction: a.completePorts,
		RunE: func(cmd *cobra.Command, args []string) error {
			view, err := ask(a, cmd.Context(), func(ctx context.Context, c *events.Client) (portbinding.BindingView, error) {
				return find(ctx, c, args[0])
			})
			if err != nil {
				return err
			}
			return a.print(view, func(p *page) { bindingDetails(p, view, time.Now()) })
		},
	}
}

func bindingDetails(p *page, v portbinding.BindingView, now time.Time) {
	p.line("port        %s", v.PortID)
	p.line("status      %s", string(v.Status))
	if text := why(v.Reason, v.Message); text != "" {
		p.line("why         %s", text)
	}
	if advice := portbinding.Reasons[v.Reason]; advice != "" {
		p.line("            (%s)", advice)
	}
	source := v.Source
	if v.Overridden {
		source += ", by hand, over the controller's binding; ends when that changes"
	}
	p.line("source      %s", source)
	p.line("state       %s, revision %d", string(v.State), v.Revision)
	if v.Network.ID != "" {
		text := v.Network.ID
		if v.Network.Name != "" {
			text = v.Network.Name + " (" + v.Network.ID + ")"
		}
		p.line("network     %s", text)
	}
	if b := v.Binding; b != nil {
		for _, s := range b.Segments {
			p.line("segment     %s %d of %s", s.NetworkType, s.SegmentationID, or(s.PhysicalNetwork))
		}
		if b.Trunk != nil {
			for _, s := range b.Trunk.SubPorts {
				p.line("tagged      VLAN %d, network %s, subport %s", s.SegmentationID, networkWords(s.Network), s.PortID)
			}
		}
		if !b.AdminUp() {
			p.line("admin       down")
		}
	} else if v.VLAN != 0 {
		p.line("VLAN        %d", v.VLAN)
	}
	if v.MAC != "" {
		p.line("MAC         %s", v.MAC)
	}
	if v.VNICType != "" {
		p.line("VNIC type   %s", v.VNICType)
	}
	p.line("verified    %s", ago(v.Verified, now))
	p.line("changed     %s", ago(&v.Updated, now))
	if len(v.Links) > 0 {
		p.line("")
		linkTable(p, v.Links, v.Message)
	}
	if len(v.Leaving) > 0 {
		p.line("\nnot yet verified out of:")
		for _, h := range v.Leaving {
			p.line("  %s", heldWords(h))
		}
	}
	if c := v.Controller; c != nil {
		p.line("\nthe controller wants: %s", bindingWords(*c))
	}
}

// linkTable shows the switch ports of a binding. Sentences stand below it, where they may be long; the one that said was told
// already.
func linkTable(p *page, links []portbinding.LinkResult, said string) {
	var rows [][]string
	for _, l := range links {
		rows = append(rows, []string{l.Switch, l.Port, string(l.Status), or(observed(l)), string(l.Reason)})
	}
	p.rows([]string{"SWITCH", "PORT", "STATUS", "READ BACK", "REASON"}, rows)
	for _, l := range links {
		if l.Message != "" && l.Message != said {
			p.line("%s/%s: %s", l.Switch, l.Port, l.Message)
		}
	}
}

// bindingWords describes a binding in one line.
func bindingWords(b portbinding.Binding) string {
	if b.State != portbinding.Present {
		return string(b.State)
	}
	var parts []string
	for _, l := range b.Profile.Links {
		name := l.SwitchInfo
		if name == "" {
			name = l.SwitchID
		}
		parts = append(parts, name+"/"+l.PortID)
	}
	text := strings.Join(parts, ", ")
	if n := len(b.Segments); n > 0 {
		s := b.Segments[n-1]
		text += " in " + s.NetworkType + " " + vlanWords(s.SegmentationID) + " of " + or(s.PhysicalNetwork)
	}
	return text + ", network " + or(networkWords(b.Network))
}
