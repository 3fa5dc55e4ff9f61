package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/switchbind/switchbind/switchdrivers"
)

// execLine makes a change with one command, which is one transaction.
type execLine struct {
	*execution
	dialect *Dialect
}

func (l *execLine) read(ctx context.Context, doing string, commands []string) ([]string, error) {
	var outputs []string
	for _, command := range commands {
		out, err := l.run(ctx, doing, command, l.sw.Timeouts.Command)
		if err != nil {
			return nil, err
		}
		if out.status != 0 {
			return nil, l.failed(doing, command, out, nil)
		}
		outputs = append(outputs, out.stdout)
	}
	return outputs, nil
}

func (l *execLine) apply(ctx context.Context, change switchdrivers.Change) error {
	const doing = "applying the change"
	script, err := l.dialect.render(change, l.dialect.Candidate.Name)
	if err != nil || len(script) == 0 {
		return err
	}
	lines := make([]string, len(script))
	for i, line := range script {
		lines[i] = line.Text
	}
	command := strings.Join(lines, "\n")
	// Linux gives a single argument, which the command is for the remote shell, 128 KiB.
	const most = 120 << 10
	if len(command) > most {
		return &switchdrivers.UnsupportedError{Platform: l.dialect.Name,
			What: fmt.Sprintf("a change of %d bytes in one transaction; set limits.ports_per_change", len(command))}
	}
	out, err := l.run(ctx, doing, command, l.sw.Timeouts.Commit)
	if err != nil {
		return err
	}
	if out.status != 0 {
		return l.failed(doing, command, out, script)
	}
	return nil
}

func (l *execLine) save(context.Context) error { return nil }

// failed makes a typed error of a command that did not succeed. With a script, the refusal is pinned on the port that the words
// name.
func (l *execLine) failed(doing, command string, out outcome, script []scriptLine) error {
	words := strings.TrimSpace(out.stderr + out.stdout)
	if busy := l.dialect.Errors.busy(words); busy != "" {
		return &switchdrivers.BusyError{Switch: l.sw.Name, Words: busy}
	}
	const alarm = 128 + 14 // what a shell makes of SIGALRM
	if out.signal == "ALRM" || out.status == alarm {
		return &switchdrivers.UnreachableError{Switch: l.sw.Name, Address: addressOf(l.sw), Doing: doing, Timeout: true,
			Err: fmt.Errorf("the command did not end in time: %s", switchdrivers.Quote(words))}
	}
	if script == nil {
		return &switchdrivers.UnreadableError{Switch: l.sw.Name, Doing: doing, Saw: words, Err: fmt.Errorf("exit status %d", out.status)}
	}
	line := l.dialect.Errors.refused(words)
	if line == "" {
		line = fmt.Sprintf("%s (exit status %d)", words, out.status)
	}
	rejection := switchdrivers.Rejection{Line: command, Words: line}
	if port := l.dialect.Errors.portIn(line); port != "" {
		for _, s := range script {
			if s.Port == port {
				rejection.Port, rejection.Line = port, strings.TrimSuffix(s.Text, ` \`)
			}
		}
	}
	return &switchdrivers.RefusedError{Switch: l.sw.Name, Rejections: []switchdrivers.Rejection{rejection}}
}

// portIn returns the port that the words of an error name, or "".
func (e *ErrorPatterns) portIn(words string) string {
	if e.port == nil {
		return ""
	}
	m := e.port.FindStringSubmatch(words)
	if m == nil {
		return ""
	}
	return m[1]
}
