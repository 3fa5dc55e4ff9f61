package cli

import (
	"strings"
)

// foreign returns the first line of a session's difference that is not our change, or "". The difference is a unified diff of
// configuration text: a changed line stands under the block whose first line precedes it, where that line is near enough to be
// shown. Where it is not, the line must be one that we sent, or of a kind that our lines replace.
func (d *Dialect) foreign(diff string, script []scriptLine) string {
	sent, blocks := map[string]bool{}, map[string]bool{}
	for _, s := range script {
		if s.part != partBody {
			continue
		}
		sent[s.Text] = true
		blocks[strings.TrimPrefix(s.Text, "no ")] = true
	}
	block, known := "", false
	for line := range strings.SplitSeq(diff, "\n") {
		line = strings.TrimRight(line, " \r")
		switch {
		case line == "" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "+++"):
			continue
		case strings.HasPrefix(line, "@@"):
			block, known = "", false
			continue
		}
		mark, text := line[0], line[1:]
		words := strings.TrimSpace(text)
		indented := strings.HasPrefix(text, " ")
		if words != "" && !indented && words != d.Read.Grammar.Comment {
			block, known = words, true
		}
		if mark != '+' && mark != '-' || words == "" || words == d.Read.Grammar.Comment {
			continue
		}
		switch {
		case known && (blocks[block] || d.oursByVLAN(block, blocks)):
		case !known && (sent[words] || d.Candidate.ours != nil && d.Candidate.ours.MatchString(words)):
		default:
			return strings.TrimSpace(block+" / "+words) + " (" + string(mark) + ")"
		}
	}
	return ""
}

// oursByVLAN reports whether a block is about VLANs and one of them is ours: the switch joins VLANs without a name into
// one block ("vlan 10-11"), so one of ours can change the first line of others'.
func (d *Dialect) oursByVLAN(block string, blocks map[string]bool) bool {
	ids, err := d.Read.Grammar.vlanBlock(block)
	if err != nil || ids == nil {
		return false
	}
	for ours := range blocks {
		if own, err := d.Read.Grammar.vlanBlock(ours); err == nil && own != nil {
			return true
		}
	}
	return false
}
