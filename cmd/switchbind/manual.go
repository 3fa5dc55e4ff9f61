package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

// wish is what the flags of bind and rebind say.
type wish struct {
	portID, mac, network, segment string
	links, trunk                  []string
	file                          string
}

func (w *wish) addMove(flags *pflag.FlagSet) {
	flags.StringVar(&w.segment, "segment", "", "the VLAN to join, as PHYSICAL_NETWORK:VLAN")
	flags.StringVar(&w.network, "network", "", "network id; two networks never share a VLAN (default: made from the segment)")
	flags.StringArrayVar(&w.links, "link", nil, "switch port, as SWITCH/PORT; repeat it for a LAG")
	flags.StringArrayVar(&w.trunk, "trunk-vlan", nil,
		"also carry these VLANs of the physical network tagged, as 201,210-212 or VLAN=NETWORK")
}

// given reports whether any flag that says what to bind was used.
func (w *wish) given() bool {
	return w.portID != "" || w.mac != "" || w.network != "" || w.segment != "" || len(w.links) > 0 || len(w.trunk) > 0
}

// binding makes a new binding of the flags.
func (w *wish) binding() (portbinding.Binding, error) {
	b := portbinding.Binding{PortID: strings.ToLower(w.portID), State: portbinding.Present, VNICType: portbinding.VNICBaremetal}
	switch {
	case w.segment == "":
		return b, usagef("which VLAN? Give --segment PHYSICAL_NETWORK:VLAN, or --file")
	case len(w.links) == 0:
		return b, usagef("which switch port? Give --link SWITCH/PORT, or --file")
	case b.PortID == "":
		b.PortID = events.NewRequestID()
	case !wholeUUID.MatchString(b.PortID):
		return b, usagef("--port-id must be a UUID, such as b16e0dcd-67e8-4442-9a66-4d1692f5846f")
	}
	if w.mac != "" {
		mac, err := switchdrivers.ParseMAC(w.mac)
		if err != nil {
			return b, &usageError{err}
		}
		b.MAC = string(mac)
	}
	return b, w.move(&b)
}

// move changes a binding as the flags say and leaves alone what they do not mention.
func (w *wish) move(b *portbinding.Binding) error {
	if w.segment != "" {
		segment, err := parseSegment(w.segment)
		if err != nil {
			return err
		}
		b.Segments = []portbinding.Segment{segment}
		b.Network = networkOf(segment)
	}
	if w.network != "" {
		b.Network = portbinding.Network{ID: w.network}
	}
	if len(w.links) > 0 {
		b.Profile.Links = nil
	}
	for _, text := range w.links {
		sw, port, ok := strings.Cut(text, "/")
		if !ok || sw == "" || port == "" {
			return usagef("--link is SWITCH/PORT, such as leaf1/Ethernet1, not %q", text)
		}
		b.Profile.Links = append(b.Profile.Links, portbinding.LocalLink{SwitchInfo: sw, PortID: port})
	}
	if len(w.trunk) == 0 {
		return nil
	}
	if len(b.Segments) == 0 {
		return usagef("--trunk-vlan needs --segment: it says which physical network the VLANs are of")
	}
	native := b.Segments[len(b.Segments)-1]
	b.Trunk = &portbinding.Trunk{}
	for _, text := range w.trunk {
		vlans, network, named := strings.Cut(text, "=")
		set, err := switchdrivers.ParseVLANSet(vlans)
		if err != nil {
			return usagef("--trunk-vlan %q: %w", text, err)
		}
		if set.IsEmpty() {
			return usagef("--trunk-vlan %q names no VLAN", text)
		}
		if named && (network == "" || set.Len() != 1) {
			return usagef("--trunk-vlan %q: one VLAN and the id of its network, such as 201=6f1d3ad2", text)
		}
		for vlan := range set.All() {
			segment := portbinding.Segment{NetworkType: "vlan", PhysicalNetwork: native.PhysicalNetwork, SegmentationID: int(vlan)}
			sub := portbinding.SubPort{PortID: derivedUUID(b.PortID, vlan.String()), SegmentationID: int(vlan),
				Network: networkOf(segment), Segments: []portbinding.Segment{segment}}
			if named {
				sub.Network = portbinding.Network{ID: network}
			}
			b.Trunk.SubPorts = append(b.Trunk.SubPorts, sub)
		}
	}
	return nil
}

func parseSegment(text string) (portbinding.Segment, error) {
	i := strings.LastIndexByte(text, ':')
	if i <= 0 {
		return portbinding.Segment{}, usagef("--segment is PHYSICAL_NETWORK:VLAN, such as physnet1:110, not %q", text)
	}
	vlan, err := switchdrivers.ParseVLANID(text[i+1:])
	if err != nil {
		return portbinding.Segment{}, usagef("--segment %q: %w", text, err)
	}
	return portbinding.Segment{NetworkType: "vlan", PhysicalNetwork: text[:i], SegmentationID: int(vlan)}, nil
}

// networkOf is the network of a segment whose controller nobody named. It is made of the segment, so that two ports bound by hand
// to one VLAN are on one network, and a port of a controller's network on that VLAN is seen to be another's.
func networkOf(s portbinding.Segment) portbinding.Network {
	return portbinding.Network{ID: fmt.Sprintf("manual-%s-%d", token(s.PhysicalNetwork), s.SegmentationID)}
}

// readBinding reads the data of a binding, or a whole event, from a file or, as "-", from standard input.
func (a *app) readBinding(file string) (portbinding.Binding, error) {
	list, err := a.readBindings(file)
	if err == nil && len(list) != 1 {
		err = usagef("%s holds %d bindings; one is wanted", file, len(list))
	}
	if err != nil {
		return portbinding.Binding{}, err
	}
	return list[0], nil
}

// readBindings reads one binding or event, or a list of them.
func (a *app) readBindings(file string) ([]portbinding.Binding, error) {
	text, err := a.readFile(file, 16<<20)
	if err != nil {
		return nil, err
	}
	items := []json.RawMessage{text}
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '[' {
		if err := json.Unmarshal(text, &items); err != nil {
			return nil, usagef("%s: %w", file, err)
		}
	}
	var list []portbinding.Binding
	if file == "-" {
		file = "standard input"
	}
	for i, item := range items {
		b, err := decodeItem(item)
		switch {
		case err != nil && len(items) == 1:
			return nil, usagef("%s: %w", file, err)
		case err != nil:
			return nil, usagef("%s: element %d: %w", file, i, err)
		}
		list = append(list, b)
	}
	return list, nil
}

func decodeItem(item json.RawMessage) (b portbinding.Binding, err error) {
	var event struct {
		SpecVersion string          `json:"specversion"`
		Data        json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(item, &event); err != nil {
		return b, notJSON(err)
	}
	if event.SpecVersion != "" {
		if event.Data == nil {
			return b, errors.New("an event without data")
		}
		item = event.Data
	}
	if err := json.Unmarshal(item, &b); err != nil {
		return b, err
	}
	if b.PortID == "" {
		return b, errors.New("port_id is missing: is this the data of a binding? `switchbind schema binding` describes it")
	}
	if b.State == "" {
		b.State = portbinding.Present
	}
	return b, nil
}

// notJSON adds to the decoder's words about a character what they are about.
func notJSON(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("this is not JSON: %w at byte %d", err, syntax.Offset)
	}
	return err
}

func (a *app) readFile(file string, most int64) ([]byte, error) {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, &usageError{err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, most+1))
	switch {
	case err != nil:
		return nil, &usageError{err}
	case int64(len(text)) > most:
		return nil, usagef("%s is larger than %d MiB", file, most>>20)
	}
	return text, nil
}

// stamp gives a manual binding its place in time. The revision is the clock in milliseconds: it only has to grow within a source,
// and one person's second terminal does not know what the first one sent. known is what the service knows of the port, or nil.
func stamp(b *portbinding.Binding, known *portbinding.BindingView, now time.Time) {
	b.Revision = now.UnixMilli()
	if known != nil && known.Source == manualSource() {
		b.Revision = max(b.Revision, known.Revision+1)
	}
	unstamped := *b
	unstamped.Revision, unstamped.Digest = 0, ""
	text, err := json.Marshal(unstamped)
	if err != nil { // plain data, read from JSON or made of flags
		text = []byte(b.PortID)
	}
	sum := sha256.Sum256(text)
	b.Digest = hex.EncodeToString(sum[:8])
}

// derivedUUID is the same for the same parts: a subport keeps its id when its trunk is bound again.
func derivedUUID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8: made as the maker likes
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
