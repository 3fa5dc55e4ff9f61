package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/switchbind/switchbind/switchdrivers"
)

// mostOutput is the most bytes one command's output may have.
const mostOutput = 64 << 20

// execution runs commands on a system that gives each its own SSH channel and exit status. The connection stays open between
// them.
type execution struct {
	sw   switchdrivers.Switch
	env  switchdrivers.Environment
	conn *transport
	gone chan struct{} // closed when the connection has ended
}

// outcome is what a command left behind.
type outcome struct {
	stdout, stderr string
	status         int // -1 when the command was killed by a signal
	signal         string
}

func openExecution(ctx context.Context, sw switchdrivers.Switch, env switchdrivers.Environment) (*execution, error) {
	conn, err := dial(ctx, sw, env)
	if err != nil {
		return nil, err
	}
	e := &execution{sw: sw, env: env, conn: conn, gone: make(chan struct{})}
	go func() {
		_ = conn.client.Wait()
		close(e.gone)
	}()
	return e, nil
}

func (e *execution) close() {
	e.conn.close()
	<-e.gone
}

func (e *execution) isDead() bool {
	select {
	case <-e.gone:
		return true
	default:
		return false
	}
}

// run runs one command. A command that ran is no error, whatever its status. Cancelling the context closes the connection.
func (e *execution) run(ctx context.Context, doing, command string, patience time.Duration) (outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, e.conn.close)
	defer stop()
	e.trace("send", command)
	session, err := e.conn.newSession(e.sw)
	if err != nil {
		var busy *switchdrivers.BusyError
		if errors.As(err, &busy) {
			return outcome{}, err
		}
		return outcome{}, connectionError(ctx, e.sw, doing, err)
	}
	var stdout, stderr limited
	session.Stdout, session.Stderr = &stdout, &stderr
	err = session.Run(command)
	out := outcome{stdout: stdout.String(), stderr: stderr.String()}
	var exit *ssh.ExitError
	switch {
	case ctx.Err() != nil:
		return out, connectionError(ctx, e.sw, doing, err)
	case stdout.full || stderr.full:
		return out, &switchdrivers.UnreadableError{Switch: e.sw.Name, Doing: doing,
			Err: fmt.Errorf("more than %d bytes of output", mostOutput)}
	case errors.As(err, &exit):
		out.status, out.signal = exit.ExitStatus(), exit.Signal()
		if out.signal != "" {
			out.status = -1
		}
	case err != nil:
		return out, connectionError(ctx, e.sw, doing, err)
	}
	e.trace("receive", out.stdout+out.stderr)
	return out, nil
}

func (e *execution) trace(direction, text string) {
	if e.env.Trace != nil {
		e.env.Trace(direction, text)
	}
}

// limited is a buffer that stops growing. It is written to by one goroutine and read after that has ended.
type limited struct {
	bytes.Buffer
	full bool
}

func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > mostOutput {
		l.full = true
		return len(b), nil
	}
	return l.Buffer.Write(b)
}
