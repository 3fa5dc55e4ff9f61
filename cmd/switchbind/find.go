package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
)

const portHelp = `PORT is the Neutron port's id, the beginning of one, or SWITCH/PORT.`

var wholeUUID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// find returns the binding that a person means.
func find(ctx context.Context, c *events.Client, name string) (portbinding.BindingView, error) {
	if id := strings.ToLower(name); wholeUUID.MatchString(id) {
		return c.Show(ctx, id)
	}
	all, err := c.List(ctx, portbinding.ListFilter{Gone: true})
	if err != nil {
		return portbinding.BindingView{}, err
	}
	id, err := choose(all, name)
	if err != nil {
		return portbinding.BindingView{}, err
	}
	return c.Show(ctx, id)
}

// choose finds the one binding whose id begins with name, or that holds the switch port of that name. Several may claim a
// switch port while one waits for the other: then it is the holder.
func choose(all []portbinding.BindingView, name string) (string, error) {
	var ids []string
	sw, port, isPlace := strings.Cut(name, "/")
	for _, v := range all {
		switch {
		case isPlace && v.State == portbinding.Present && slices.ContainsFunc(v.Links, func(l portbinding.LinkResult) bool {
			return l.Switch == sw && strings.EqualFold(l.Port, port) && l.Reason != portbinding.ReasonPortTaken
		}):
			ids = append(ids, v.PortID)
		case !isPlace && name != "" && strings.HasPrefix(v.PortID, strings.ToLower(name)):
			ids = append(ids, v.PortID)
		}
	}
	switch len(ids) {
	case 0:
		return "", &portbinding.UnknownError{Kind: "port", Name: name, Hint: "`switchbind list --gone` shows all there are"}
	case 1:
		return ids[0], nil
	}
	return "", usagef("%q can be any of %s: write more of it", name, strings.Join(ids[:min(len(ids), 5)], ", "))
}

// completeSwitches offers the names of the switches to the shell; nothing when the service does not answer.
func (a *app) completeSwitches(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	a.timeout = completionTime
	views, err := ask(a, cmd.Context(), func(ctx context.Context, c *events.Client) ([]portbinding.SwitchView, error) {
		return c.Switches(ctx)
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, v := range views {
		names = append(names, v.Name+"\t"+v.Platform)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completePorts offers port ids.
func (a *app) completePorts(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	a.timeout = completionTime
	views, err := ask(a, cmd.Context(), func(ctx context.Context, c *events.Client) ([]portbinding.BindingView, error) {
		return c.List(ctx, portbinding.ListFilter{})
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, v := range views {
		if strings.HasPrefix(v.PortID, begin) {
			names = append(names, fmt.Sprintf("%s\t%s %s", v.PortID, v.Status, places(v.Links)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completionTime is how long a shell is kept waiting.
const completionTime = 1e9 // one second
