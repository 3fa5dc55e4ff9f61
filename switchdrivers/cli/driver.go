package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// driver drives one switch: it keeps a session warm, and drops it after any error and after the switch's idle time.
type driver struct {
	dialect *Dialect
	sw      switchdrivers.Switch
	env     switchdrivers.Environment

	mu     sync.Mutex // held during a call; the idle timer takes it to close the session
	closed bool
	line   line
	idle   *time.Timer
	used   uint64 // counts calls, so that an idle timer that fires late does nothing
}

// line is what a driver talks over. It has one implementation for each value of session.channel.
type line interface {
	close()
	isDead() bool
	// read runs the show commands and returns their answers. Nothing of it changes the switch.
	read(ctx context.Context, doing string, commands []string) ([]string, error)
	// apply writes a change and makes it stick, or undoes it.
	apply(ctx context.Context, change switchdrivers.Change) error
	save(ctx context.Context) error
}

var (
	_ switchdrivers.Driver = (*driver)(nil)
	_ switchdrivers.Pinger = (*driver)(nil)
)

func newDriver(d *Dialect, sw switchdrivers.Switch, env switchdrivers.Environment) *driver {
	sw.Timeouts.Connect = positive(sw.Timeouts.Connect, 15*time.Second)
	sw.Timeouts.Command = positive(sw.Timeouts.Command, 30*time.Second)
	sw.Timeouts.Commit = positive(sw.Timeouts.Commit, 2*time.Minute)
	sw.Timeouts.Idle = positive(sw.Timeouts.Idle, time.Minute)
	return &driver{dialect: d, sw: sw, env: env}
}

var errClosed = errors.New("the driver is closed")

// with runs a call on the warm session, or on a new one.
func (d *driver) with(ctx context.Context, call func(line) error) (warm bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false, errClosed
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	d.used++
	if d.idle != nil {
		d.idle.Stop()
	}
	if d.line != nil && d.line.isDead() {
		d.drop()
	}
	warm = d.line != nil
	if !warm {
		if d.line, err = d.open(ctx); err != nil {
			d.line = nil
			return false, err
		}
	}
	if err = call(d.line); err != nil && !keeps(err) {
		d.drop()
		return warm, err
	}
	number := d.used
	d.idle = time.AfterFunc(d.sw.Timeouts.Idle, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.used == number {
			d.drop()
		}
	})
	return warm, err
}

// keeps reports whether an error was found before anything was sent, so that the session is as good as before.
func keeps(err error) bool {
	var unsupported *switchdrivers.UnsupportedError
	var name *switchdrivers.PortNameError
	return errors.As(err, &unsupported) || errors.As(err, &name)
}

func (d *driver) open(ctx context.Context) (line, error) {
	if d.dialect.Session.Channel == "exec" {
		e, err := openExecution(ctx, d.sw, d.env)
		if err != nil {
			return nil, err
		}
		return &execLine{execution: e, dialect: d.dialect}, nil
	}
	t, err := openTerminal(ctx, d.sw, d.env, d.dialect)
	if err != nil {
		return nil, err
	}
	return &shellLine{terminal: t}, nil
}

func (d *driver) drop() {
	if d.line != nil {
		d.line.close()
		d.line = nil
	}
}

// reading is with for calls that change nothing: when the warm session turns out to be dead, a new one is tried, once.
func (d *driver) reading(ctx context.Context, call func(line) error) error {
	warm, err := d.with(ctx, call)
	var unreachable *switchdrivers.UnreachableError
	if warm && errors.As(err, &unreachable) && ctx.Err() == nil {
		_, err = d.with(ctx, call)
	}
	return err
}

// Read implements [switchdrivers.Driver]. It always reads the whole switch: the VLAN table and LAG membership are wanted in any
// case, and one question is cheaper than several.
func (d *driver) Read(ctx context.Context, _ switchdrivers.Scope) (switchdrivers.State, error) {
	const doing = "reading the configuration"
	var state switchdrivers.State
	err := d.reading(ctx, func(l line) error {
		outputs, err := l.read(ctx, doing, d.dialect.Read.Commands)
		if err != nil {
			return err
		}
		if state, err = d.dialect.parse(outputs); err != nil {
			return &switchdrivers.UnreadableError{Switch: d.sw.Name, Doing: doing, Saw: strings.Join(outputs, "\n"), Err: err}
		}
		return nil
	})
	if err != nil {
		return switchdrivers.State{}, err
	}
	return state, nil
}

// Apply implements [switchdrivers.Driver].
func (d *driver) Apply(ctx context.Context, change switchdrivers.Change) error {
	if change.IsEmpty() {
		return nil
	}
	_, err := d.with(ctx, func(l line) error { return l.apply(ctx, change) })
	return err
}

// Save implements [switchdrivers.Driver].
func (d *driver) Save(ctx context.Context) error {
	if !d.dialect.NeedsSave {
		return nil
	}
	_, err := d.with(ctx, func(l line) error { return l.save(ctx) })
	return err
}

// Identify implements [switchdrivers.Pinger].
func (d *driver) Identify(ctx context.Context) (string, error) {
	var words string
	err := d.reading(ctx, func(l line) error {
		outputs, err := l.read(ctx, "asking for the version", []string{d.dialect.Identify.Command})
		if err != nil {
			return err
		}
		var kept []string
		for text := range strings.SplitSeq(outputs[0], "\n") {
			text = strings.TrimSpace(text)
			if re := d.dialect.Identify.pattern; text != "" && (re == nil || re.MatchString(text)) {
				kept = append(kept, text)
			}
		}
		if len(kept) == 0 {
			return &switchdrivers.UnreadableError{Switch: d.sw.Name, Doing: "asking for the version", Saw: outputs[0],
				Err: fmt.Errorf("it does not look like %s", d.dialect.Name)}
		}
		words = strings.Join(kept, "; ")
		return nil
	})
	return words, err
}

// Close implements [switchdrivers.Driver].
func (d *driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.idle != nil {
		d.idle.Stop()
	}
	d.drop()
	return nil
}
