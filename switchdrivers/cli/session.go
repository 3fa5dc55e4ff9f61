package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/scrapli/scrapligo/channel"
	"github.com/scrapli/scrapligo/driver/options"
	"github.com/scrapli/scrapligo/logging"
	scrapli "github.com/scrapli/scrapligo/transport"
	"github.com/scrapli/scrapligo/util"

	"github.com/switchbind/switchbind/switchdrivers"
)

// terminal is a shell session with prompts: lines go out, and each line's answer comes back.
//
// It stands on scrapligo's transport and channel layers (the reading goroutine, the queue, the cleaning of control sequences)
// with our own transport below. Scrapligo's drivers above them cannot be used: they send one line per round trip, look for the
// prompt by a pattern in the last thousand bytes (a description that ends in "#" is a prompt to them), match echoes fuzzily,
// take no context, and drop what was still queued when the switch closes the connection. Here an answer ends only at a line
// that begins with the very host name seen at login and is followed by nothing, or by the echo of the line that was sent next.
// So many lines can be under way at once and each error still belongs to its line.
//
// A terminal is used by one goroutine. After any error it is of no use any more.
type terminal struct {
	sw      switchdrivers.Switch
	env     switchdrivers.Environment
	dialect *Dialect
	shell   *shell
	channel *channel.Channel

	buf     []byte // what was received and not yet given to a line
	scanned int    // up to here buf holds no prompt; always the begin of a line
	prompt  *regexp.Regexp
	mode    string // what the last prompt says in parentheses: "config-s-switch"
	mark    string // how the last prompt ends: ">" or "#"
}

// answer is what the switch said to one line.
type answer struct {
	text       string // without echo and prompt
	mode, mark string // of the prompt that follows it
}

// openTerminal logs in, finds the prompt and prepares the session (paging off, privileged mode).
func openTerminal(ctx context.Context, sw switchdrivers.Switch, env switchdrivers.Environment, d *Dialect) (*terminal, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, sw.Timeouts.Connect, errTimeout)
	defer cancel()
	conn, err := dial(ctx, sw, env)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, conn.close)
	defer stop()
	t := &terminal{sw: sw, env: env, dialect: d}
	if t.shell, err = conn.openShell(sw, d.Session.Width, d.Session.Height); err == nil {
		err = t.attach()
	}
	if err != nil {
		conn.close()
		var busy *switchdrivers.BusyError
		if errors.As(err, &busy) {
			return nil, err
		}
		return nil, connectionError(ctx, sw, "opening a shell", err)
	}
	if err := t.login(ctx); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// attach puts scrapligo's channel on our transport.
func (t *terminal) attach() error {
	log, err := logging.NewInstance()
	if err != nil {
		return err
	}
	opts := []util.Option{
		options.WithCustomTransport(t.shell), options.WithTransportReadSize(32 << 10), options.WithAuthBypass(),
		// Our Read blocks until there is something, so there is no polling that a delay could slow down.
		options.WithReadDelay(time.Nanosecond),
	}
	below, err := scrapli.NewTransport(log, addressOf(t.sw), scrapli.StandardTransport, opts...)
	if err != nil {
		return err
	}
	if t.channel, err = channel.NewChannel(log, below, opts...); err != nil {
		return err
	}
	return t.channel.Open()
}

// close ends the session and its goroutines. The switch is not told: most take a closed connection for a logout.
func (t *terminal) close() {
	t.shell.transport.close()
	if t.channel != nil {
		_ = t.channel.Close()
	}
}

// isDead reports whether the switch has already ended the session.
func (t *terminal) isDead() bool { return !t.shell.IsAlive() }

// login waits for the first prompt, learns the host name and sends the preparation commands.
func (t *terminal) login(ctx context.Context) error {
	const doing = "logging in"
	generic := t.dialect.promptAtEnd
	for generic.Find(lastLine(t.buf)) == nil {
		if err := t.more(ctx, doing, t.sw.Timeouts.Connect); err != nil {
			return err
		}
	}
	// A line of the banner may look like a prompt. The one that is followed by the echo of our first line is the real one.
	first := t.dialect.Session.Prepare[0]
	if err := t.write(first); err != nil {
		return t.fault(ctx, doing, err)
	}
	for {
		if host, rest, ok := t.dialect.promptBefore(t.buf, first); ok {
			t.prompt = t.dialect.promptOf(host)
			t.buf, t.scanned = rest, 0
			break
		}
		if err := t.more(ctx, doing, t.sw.Timeouts.Connect); err != nil {
			return err
		}
	}
	if _, err := t.collect(ctx, doing, []string{first}, 1, t.sw.Timeouts.Connect); err != nil {
		return err
	}
	if err := t.enable(ctx); err != nil {
		return err
	}
	_, err := t.run(ctx, doing, t.dialect.Session.Prepare[1:], t.sw.Timeouts.Connect)
	return err
}

// enable enters the privileged mode where the login does not lead there.
func (t *terminal) enable(ctx context.Context) error {
	e := t.dialect.Session.Enable
	if e.Command == "" || t.mark != e.From {
		return nil
	}
	const doing = "entering the privileged mode"
	secret, err := t.sw.Credentials.EnablePassword()
	if err != nil {
		return &switchdrivers.AuthError{Switch: t.sw.Name, Username: "enable", Err: err}
	}
	refused := &switchdrivers.AuthError{Switch: t.sw.Name, Username: "enable", Err: errors.New("the privileged mode was refused")}
	if err := t.write(e.Command); err != nil {
		return t.fault(ctx, doing, err)
	}
	asked := false
	for {
		if _, ok, err := t.next(doing, e.Command, "", nil); err != nil || ok {
			if err == nil && t.mark == e.From {
				err = refused
			}
			return err
		}
		if e.password.Match(lastLine(t.buf)) {
			if asked {
				return refused
			}
			asked = true
			t.buf = append(t.buf, '\n') // the secret is not echoed
			if err := t.shell.Write([]byte(secret.Reveal() + "\n")); err != nil {
				return t.fault(ctx, doing, err)
			}
		}
		if err := t.more(ctx, doing, t.sw.Timeouts.Connect); err != nil {
			return err
		}
	}
}

// run sends the lines, as many at once as the dialect allows, and returns their answers. patience is the longest silence that
// is borne. Cancelling the context closes the connection.
func (t *terminal) run(ctx context.Context, doing string, lines []string, patience time.Duration) ([]answer, error) {
	stop := context.AfterFunc(ctx, t.shell.transport.close)
	defer stop()
	return t.collect(ctx, doing, lines, 0, patience)
}

// collect is run with the first lines already sent.
func (t *terminal) collect(ctx context.Context, doing string, lines []string, sent int, patience time.Duration) ([]answer, error) {
	answers := make([]answer, 0, len(lines))
	underWay := 0
	for len(answers) < len(lines) {
		done := len(answers)
		var batch []string
		for sent < len(lines) && (sent == done || underWay+len(lines[sent])+1 <= t.dialect.Session.Pipeline) {
			batch = append(batch, lines[sent])
			underWay += len(lines[sent]) + 1
			sent++
		}
		if len(batch) > 0 {
			if err := t.write(batch...); err != nil {
				return answers, t.fault(ctx, doing, err)
			}
		}
		follower := ""
		if done+1 < sent {
			follower = lines[done+1]
		}
		a, ok, err := t.next(doing, lines[done], follower, lines[done+1:sent])
		if err != nil {
			return answers, err
		}
		if ok {
			answers = append(answers, a)
			underWay -= len(lines[done]) + 1
			continue
		}
		if err := t.more(ctx, doing, patience); err != nil {
			return answers, err
		}
	}
	return answers, nil
}

func (t *terminal) write(lines ...string) error {
	for _, line := range lines {
		t.trace("send", line)
	}
	return t.channel.Write([]byte(strings.Join(lines, "\n")+"\n"), true)
}

// next takes the answer to line out of the buffer, if it is complete: if a prompt follows it, and that is followed by the echo
// of the next line sent (follower) or, when there is none, by nothing. typedAhead are the lines after it that were sent
// already; some switches echo them as soon as they arrive, in the middle of another answer.
//
// Text that comes after the prompt and before the next echo is late output of the same line, and part of its answer.
func (t *terminal) next(doing, line, follower string, typedAhead []string) (answer, bool, error) {
	prompt, promptEnd := -1, 0 // a prompt that something else than an echo followed
	var mode, mark string
	for start := t.scanned; start <= len(t.buf); {
		end := bytes.IndexByte(t.buf[start:], '\n')
		whole := end >= 0
		if whole {
			end += start
		} else {
			end = len(t.buf)
		}
		if m := t.prompt.FindSubmatchIndex(t.buf[start:end]); m != nil {
			rest := string(bytes.TrimRight(t.buf[start+m[1]:end], " "))
			if rest == "" || whole && follower != "" && rest == follower {
				prompt, promptEnd = start, start+m[1]
				mode, mark = submatch(t.buf[start:], m, 1), submatch(t.buf[start:], m, 2)
			}
			if follower == "" && rest == "" || whole && follower != "" && rest == follower {
				return t.take(doing, line, typedAhead, prompt, promptEnd, promptEnd, mode, mark)
			}
		} else if prompt >= 0 && whole && string(bytes.TrimRight(t.buf[start:end], " ")) == follower {
			return t.take(doing, line, typedAhead, prompt, promptEnd, start, mode, mark)
		}
		if !whole {
			break
		}
		start = end + 1
		t.scanned = start
	}
	if prompt >= 0 {
		t.scanned = prompt
	}
	return answer{}, false, nil
}

// take cuts an answer out of the buffer: what is before the prompt, and what came late, between the prompt's end and rest.
func (t *terminal) take(doing, line string, typedAhead []string, prompt, promptEnd, rest int, mode, mark string) (
	answer, bool, error) {
	text, err := t.withoutEcho(doing, string(t.buf[:prompt]), line, typedAhead)
	if err != nil {
		return answer{}, false, err
	}
	if late := strings.TrimSpace(string(t.buf[promptEnd:rest])); late != "" {
		text = strings.TrimPrefix(text+"\n"+late, "\n")
	}
	t.mode, t.mark = mode, mark
	t.buf, t.scanned = slices.Clone(t.buf[rest:]), 0
	t.trace("receive", text)
	return answer{text: text, mode: mode, mark: mark}, true, nil
}

// late returns what the switch has said since its last prompt, unasked.
func (t *terminal) late() string {
	t.buf = append(t.buf, t.channel.Q.DequeueAll()...)
	return strings.TrimSpace(string(t.buf))
}

func submatch(b []byte, m []int, n int) string {
	if m[2*n] < 0 {
		return ""
	}
	return string(b[m[2*n]:m[2*n+1]])
}

// withoutEcho checks that the answer has the exact echo of the line, and cuts it out. What stands before it came late, after the
// prompt of the line before: it is kept, so that an error in it is not lost.
func (t *terminal) withoutEcho(doing, text, line string, typedAhead []string) (string, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	echo := slices.IndexFunc(lines, func(s string) bool { return strings.TrimRight(s, " ") == line })
	if echo < 0 {
		return "", &switchdrivers.UnreadableError{Switch: t.sw.Name, Doing: doing, Saw: text,
			Err: fmt.Errorf("the line %s was not echoed", switchdrivers.Quote(line))}
	}
	kept := slices.DeleteFunc(slices.Delete(lines, echo, echo+1), func(s string) bool {
		return slices.Contains(typedAhead, strings.TrimRight(s, " "))
	})
	if strings.TrimSpace(strings.Join(kept[:min(echo, len(kept))], "")) == "" {
		kept = kept[min(echo, len(kept)):]
	}
	return strings.Join(kept, "\n"), nil
}

// more waits for the next piece of output, for at most patience.
func (t *terminal) more(ctx context.Context, doing string, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if piece := t.channel.Q.DequeueAll(); len(piece) > 0 {
			t.buf = append(t.buf, piece...)
			if bytes.IndexByte(t.buf[t.scanned:], 0x1b) >= 0 {
				// scrapligo strips control sequences from each piece; one may be cut in two by the border between pieces.
				t.buf = append(t.buf[:t.scanned:t.scanned], util.StripANSI(t.buf[t.scanned:])...)
			}
			return nil
		}
		select {
		case <-t.shell.settled:
			continue
		default:
		}
		select {
		case <-t.shell.settled:
		case <-t.shell.ended:
			if t.channel.Q.GetDepth() > 0 {
				continue
			}
			return t.fault(ctx, doing, io.EOF)
		case <-ctx.Done():
			return t.fault(ctx, doing, context.Cause(ctx))
		case <-timer.C:
			return t.fault(ctx, doing, errTimeout)
		}
	}
}

// fault makes a typed error of what ended a wait.
func (t *terminal) fault(ctx context.Context, doing string, err error) error {
	saw := strings.TrimSpace(string(t.buf))
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded):
		// An answer that stops in the middle of a line is a question or a prompt that the dialect does not know. One that
		// stops after a line, or never began, is a switch that hangs.
		if len(bytes.TrimSpace(lastLine(t.buf))) > 0 {
			return &switchdrivers.UnreadableError{Switch: t.sw.Name, Doing: doing, Saw: saw,
				Err: errors.New("no prompt that the dialect knows")}
		}
		return &switchdrivers.UnreachableError{Switch: t.sw.Name, Address: addressOf(t.sw), Doing: doing, Timeout: true, Err: errTimeout}
	}
	if words := t.dialect.Errors.busy(saw); words != "" {
		return &switchdrivers.BusyError{Switch: t.sw.Name, Words: words}
	}
	if t.prompt == nil && isTooMany(saw) {
		return &switchdrivers.BusyError{Switch: t.sw.Name, Words: saw}
	}
	if saw != "" {
		err = fmt.Errorf("%w after %s", err, switchdrivers.Quote(saw))
	}
	return &switchdrivers.UnreachableError{Switch: t.sw.Name, Address: addressOf(t.sw), Doing: doing, Err: err}
}

func (t *terminal) trace(direction, text string) {
	if t.env.Trace != nil {
		t.env.Trace(direction, text)
	}
}

func lastLine(b []byte) []byte { return b[bytes.LastIndexByte(b, '\n')+1:] }
