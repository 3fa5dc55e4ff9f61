package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// shellLine makes a change in a configuration session: nothing is in force before the commit, everything after it.
type shellLine struct {
	*terminal
	swept bool // sessions that a crash left behind were looked for
}

func (l *shellLine) read(ctx context.Context, doing string, commands []string) ([]string, error) {
	answers, err := l.run(ctx, doing, commands, l.sw.Timeouts.Command)
	if err != nil {
		return nil, err
	}
	outputs := make([]string, len(answers))
	for i, a := range answers {
		if words := l.complaint(a.text); words != "" {
			return nil, &switchdrivers.UnreadableError{Switch: l.sw.Name, Doing: doing, Saw: words,
				Err: fmt.Errorf("%q was refused", commands[i])}
		}
		outputs[i] = a.text
	}
	return outputs, nil
}

// complaint is the error that the answer to a show command begins with. Further down, the text is data: a banner or a
// description may say anything.
func (l *shellLine) complaint(text string) string {
	first, _, _ := strings.Cut(strings.TrimLeft(text, " \n"), "\n")
	if words := l.dialect.Errors.busy(first); words != "" {
		return words
	}
	return l.dialect.Errors.refused(first)
}

// apply goes through the steps of one change:
//
//	enter a session of our own     its limit or a lock: busy
//	send all lines, pipelined      every rejected port is collected, then the session is discarded
//	read diff and running config   anything foreign in the diff, or a port no longer as the change believes: busy
//	commit
//
// Every way out but success discards the session. Where the connection is lost the switch keeps it; the next change on a new
// connection discards it (sweep).
func (l *shellLine) apply(ctx context.Context, change switchdrivers.Change) error {
	name := l.dialect.Candidate.Name
	if l.dialect.Candidate.Unique {
		name += "-" + unique()
	}
	script, err := l.dialect.render(change, name)
	if err != nil || len(script) == 0 {
		return err
	}
	if err := l.sweep(ctx); err != nil {
		return err
	}
	inside, err := l.enter(ctx, script)
	if err == nil {
		err = l.fill(ctx, script, change)
	}
	if err == nil {
		return l.commit(ctx, script, change, name)
	}
	if inside {
		l.discard(name)
	}
	return err
}

// enter opens the session. It is waited for before anything else is sent: were it refused, the lines after it would reach
// another mode.
func (l *shellLine) enter(ctx context.Context, script []scriptLine) (inside bool, err error) {
	begin := texts(script, partBegin)
	answers, err := l.run(ctx, "opening a configuration session", begin, l.sw.Timeouts.Command)
	if err != nil {
		return len(answers) > 0, err
	}
	for i, a := range answers {
		if words := l.dialect.Errors.busy(a.text); words != "" {
			return i > 0, &switchdrivers.BusyError{Switch: l.sw.Name, Words: words}
		}
		if words := l.dialect.Errors.refused(a.text); words != "" {
			return i > 0, l.refused(switchdrivers.Rejection{Line: begin[i], Words: words})
		}
	}
	if re := l.dialect.Candidate.mode; re != nil && !re.MatchString(l.mode) {
		return false, &switchdrivers.UnreadableError{Switch: l.sw.Name, Doing: "opening a configuration session", Saw: l.mode,
			Err: errors.New("the prompt does not say that we are in a session")}
	}
	return true, nil
}

// fill sends the change and judges the answers.
func (l *shellLine) fill(ctx context.Context, script []scriptLine, change switchdrivers.Change) error {
	var lines []scriptLine
	for _, s := range script {
		if s.part == partBody || s.part == partVerify {
			lines = append(lines, s)
		}
	}
	sent := make([]string, len(lines))
	for i, s := range lines {
		sent[i] = s.Text
	}
	answers, err := l.run(ctx, "sending the change", sent, l.sw.Timeouts.Command)
	if err != nil {
		return err
	}
	var rejections []switchdrivers.Rejection
	blamed := map[string]bool{} // one rejection for each port and VLAN: what follows it stands in the wrong context
	verify := map[string]string{}
	for i, a := range answers {
		if lines[i].part == partVerify {
			// Either the command was refused, or this is the late error of a line before it.
			if words := l.complaint(a.text); words != "" {
				rejections = append(rejections, switchdrivers.Rejection{Line: lines[i].Text, Words: words})
			}
			verify[lines[i].Text] = a.text
			continue
		}
		if words := l.dialect.Errors.busy(a.text); words != "" {
			return &switchdrivers.BusyError{Switch: l.sw.Name, Words: words}
		}
		words := l.dialect.Errors.refused(a.text)
		owner := lines[i].Port + "/" + lines[i].vlan.String()
		if words == "" || blamed[owner] {
			continue
		}
		blamed[owner] = true
		rejections = append(rejections, switchdrivers.Rejection{Port: lines[i].Port, VLAN: lines[i].vlan, Line: lines[i].Text, Words: words})
	}
	if len(rejections) > 0 {
		return l.refused(rejections...)
	}
	return l.compare(verify, script, change)
}

// compare makes sure, as the last thing before the commit, that the session holds our change alone and that the switch still is
// what the change was computed from: a commit overwrites whatever was changed since the session was opened.
func (l *shellLine) compare(verify map[string]string, script []scriptLine, change switchdrivers.Change) error {
	c := &l.dialect.Candidate
	// An error that came after its line's prompt, and after the last line's even.
	if words := l.dialect.Errors.refused(l.late() + "\n" + verify[c.Diff]); words != "" {
		return l.refused(switchdrivers.Rejection{Words: words})
	}
	if diff, ok := verify[c.Diff]; ok {
		if foreign := l.dialect.foreign(diff, script); foreign != "" {
			return &switchdrivers.BusyError{Switch: l.sw.Name, Words: "somebody else is changing the configuration: " + foreign}
		}
	}
	running, ok := verify[c.Running]
	if !ok {
		return nil
	}
	now, err := l.dialect.parse([]string{running})
	if err != nil {
		return &switchdrivers.UnreadableError{Switch: l.sw.Name, Doing: "comparing the session", Saw: running, Err: err}
	}
	for _, p := range change.Ports {
		port, exists := now.Ports[p.Name]
		if !exists && p.From.SameForwarding(switchdrivers.Port{}) {
			continue // an interface that the configuration does not show while it has nothing of its own
		}
		if !port.Equal(p.From) || port.LAG != p.From.LAG {
			return &switchdrivers.BusyError{Switch: l.sw.Name,
				Words: fmt.Sprintf("port %s was changed meanwhile: it is %q now, not %q", p.Name, port, p.From)}
		}
	}
	return nil
}

// commit makes the change stick.
func (l *shellLine) commit(ctx context.Context, script []scriptLine, change switchdrivers.Change, name string) error {
	lines := texts(script, partCommit)
	answers, err := l.run(ctx, "committing", lines, l.sw.Timeouts.Commit)
	if err != nil {
		return err // whether it took effect is for the caller to read
	}
	for i, a := range answers {
		words := l.dialect.Errors.busy(a.text)
		if words != "" {
			l.discard(name)
			return &switchdrivers.BusyError{Switch: l.sw.Name, Words: words}
		}
		if words = l.dialect.Errors.refused(a.text); words == "" && a.mode != "" {
			words = "the commit left us in " + a.mode + ": " + a.text
		}
		if words == "" {
			continue
		}
		rejection := switchdrivers.Rejection{Line: lines[i], Words: words}
		named := l.dialect.Errors.portIn(words)
		for _, p := range change.Ports {
			if p.Name == named {
				rejection.Port = named
			}
		}
		l.discard(name)
		return l.refused(rejection)
	}
	return nil
}

// discard leaves nothing behind. It has its own short time, for the caller's may be over; what it cannot do is left to sweep.
func (l *shellLine) discard(name string) {
	if l.isDead() {
		return
	}
	lines, err := l.dialect.expand("abort", changeData{Session: name})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), min(l.sw.Timeouts.Command, 3*time.Second), errTimeout)
	defer cancel()
	_, _ = l.run(ctx, "discarding the session", lines, l.sw.Timeouts.Command)
}

// sweep discards sessions of ours that a crash or a lost connection left on the switch, once for every connection. A session that
// somebody is in is not touched.
func (l *shellLine) sweep(ctx context.Context) error {
	c := &l.dialect.Candidate
	if l.swept || c.Stale == "" || c.pending == nil {
		return nil
	}
	const doing = "looking for sessions left behind"
	answers, err := l.run(ctx, doing, []string{c.Stale}, l.sw.Timeouts.Command)
	if err != nil {
		return err
	}
	for text := range strings.SplitSeq(answers[0].text, "\n") {
		m := c.pending.FindStringSubmatch(strings.TrimRight(text, " \r"))
		if m == nil {
			continue
		}
		discard := strings.ReplaceAll(c.Discard, "{{.Session}}", m[1])
		if _, err := l.run(ctx, doing, []string{discard}, l.sw.Timeouts.Command); err != nil {
			return err
		}
	}
	l.swept = true
	return nil
}

func (l *shellLine) save(ctx context.Context) error {
	lines, err := l.dialect.expand("save", changeData{})
	if err != nil {
		return err
	}
	answers, err := l.run(ctx, "saving the configuration", lines, l.sw.Timeouts.Commit)
	if err != nil {
		return err
	}
	for i, a := range answers {
		if words := l.dialect.Errors.busy(a.text); words != "" {
			return &switchdrivers.BusyError{Switch: l.sw.Name, Words: words}
		}
		if words := l.dialect.Errors.refused(a.text); words != "" {
			return l.refused(switchdrivers.Rejection{Line: lines[i], Words: words})
		}
	}
	return nil
}

func (l *shellLine) refused(rejections ...switchdrivers.Rejection) error {
	return &switchdrivers.RefusedError{Switch: l.sw.Name, Rejections: rejections}
}

func texts(script []scriptLine, p part) []string {
	var lines []string
	for _, s := range script {
		if s.part == p {
			lines = append(lines, s.Text)
		}
	}
	return lines
}

func unique() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
