package cli

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// foreign returns a line of a session's difference that is not our change, or "". The difference is a unified diff of
// configuration text.
//
// A diff may pair lines that have nothing to do with each other (the `!` and the first line of the next block, for one), so its
// marks are not taken at their word: each hunk is turned into the text before and the text after, and those are compared block by
// block. Lines in our blocks, and at the begin of a hunk whose block is not shown, must be ones that we sent, or of a kind that
// ours replace.
func (d *Dialect) foreign(diff string, script []scriptLine) string {
	sent, blocks := map[string]bool{}, map[string]bool{}
	for _, s := range script {
		if s.part == partBody {
			sent[s.Text] = true
			blocks[strings.TrimPrefix(s.Text, "no ")] = true
		}
	}
	ourVLANs := d.vlansIn(maps.Keys(blocks))
	for _, h := range d.hunks(diff) {
		// The switch joins VLANs without a name into one block ("vlan 10-11"), so one of ours can change the first line of
		// others': what counts is which VLANs come and go.
		before, after := d.vlansIn(maps.Keys(h.before)), d.vlansIn(maps.Keys(h.after))
		if odd := before.Minus(after).Union(after.Minus(before)).Minus(ourVLANs); !odd.IsEmpty() {
			return "VLAN " + odd.String()
		}
		for _, block := range h.order {
			before, after := h.before[block], h.after[block]
			if before != nil && after != nil && slices.Equal(before.lines, after.lines) ||
				blocks[block] && (before == nil || after == nil) {
				continue
			}
			lines := append(missing(after.linesOf(), before.linesOf()), missing(before.linesOf(), after.linesOf())...)
			if block != "" && !blocks[block] {
				if ids := d.vlansIn(maps.Keys(map[string]bool{block: true})); ids.IsEmpty() ||
					len(lines) > 0 && !ids.Minus(ourVLANs).IsEmpty() {
					return block
				}
				continue
			}
			for _, line := range lines {
				if !sent[line] && (d.Candidate.ours == nil || !d.Candidate.ours.MatchString(line)) {
					return strings.TrimSpace(block + " / " + line)
				}
			}
		}
	}
	return ""
}

// vlansIn returns the VLANs that the given first lines of blocks are about.
func (d *Dialect) vlansIn(blocks iter.Seq[string]) (set switchdrivers.VLANSet) {
	for block := range blocks {
		if ids, err := d.Read.Grammar.vlanBlock(block); err == nil {
			set = set.With(ids...)
		}
	}
	return set
}

// hunk is one part of a unified diff, as the blocks before and after it. The lines whose block is not shown are block "".
type hunk struct {
	before, after map[string]*diffBlock
	order         []string
}

type diffBlock struct{ lines []string }

func (b *diffBlock) linesOf() []string {
	if b == nil {
		return nil
	}
	return b.lines
}

// hunks reads a unified diff.
func (d *Dialect) hunks(diff string) []*hunk {
	var all []*hunk
	var now *hunk
	begin := func() {
		now = &hunk{before: map[string]*diffBlock{}, after: map[string]*diffBlock{}}
		all = append(all, now)
	}
	var before, after string // the open blocks
	take := func(side map[string]*diffBlock, open *string, text string) {
		words := strings.TrimSpace(text)
		if words == "" || words == d.Read.Grammar.Comment {
			return
		}
		header := !strings.HasPrefix(text, " ")
		if header {
			*open = words
		}
		if side[*open] == nil {
			side[*open] = &diffBlock{}
			if !slices.Contains(now.order, *open) {
				now.order = append(now.order, *open)
			}
		}
		if !header {
			side[*open].lines = append(side[*open].lines, words)
		}
	}
	for line := range strings.SplitSeq(diff, "\n") {
		line = strings.TrimRight(line, " \r")
		switch {
		case line == "" || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "+++ "):
			continue
		case strings.HasPrefix(line, "@@"):
			before, after = "", ""
			begin()
			continue
		}
		if now == nil {
			begin()
		}
		mark, text := line[0], line[1:]
		if mark != '+' {
			take(now.before, &before, text)
		}
		if mark != '-' {
			take(now.after, &after, text)
		}
	}
	return all
}

// missing returns the lines of a that b does not have.
func missing(a, b []string) []string {
	var out []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			out = append(out, line)
		}
	}
	return out
}
