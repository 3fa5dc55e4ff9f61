package switchdrivers

import (
	"errors"
	"fmt"
	"strings"
)

// UnreachableError says that the switch did not answer: no connection, a connection that broke, or no answer in time. What was
// being sent may or may not have taken effect. Try again later.
type UnreachableError struct {
	Switch  string
	Address string
	Doing   string // "connecting", "reading the configuration", ...
	Timeout bool   // no answer within the limit, rather than a refused or broken connection
	Err     error
}

func (e *UnreachableError) Error() string {
	what := "cannot be reached"
	if e.Timeout {
		what = "did not answer in time"
	}
	return fmt.Sprintf("switch %s (%s) %s while %s: %v", e.Switch, e.Address, what, e.Doing, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// AuthError says that the credentials cannot be read, or that the switch is there but did not accept them. Trying the same ones
// again soon locks accounts: wait for the operator.
type AuthError struct {
	Switch   string
	Username string
	Err      error // never contains the secret
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("cannot log in to switch %s as %q (%v): check the credentials in the configuration and send SIGHUP",
		e.Switch, e.Username, e.Err)
}

func (e *AuthError) Unwrap() error { return e.Err }

// HostKeyError says that the peer's SSH host key or TLS certificate is not the one that was expected. Nothing was sent to it,
// no credentials either.
type HostKeyError struct {
	Switch string
	Got    string // fingerprint of what was presented
	Want   string // what is expected, or "" when nothing is known about this switch
	Err    error
}

func (e *HostKeyError) Error() string {
	if e.Want == "" {
		return fmt.Sprintf("switch %s presents the unknown key %s: compare it with the switch's console, then add it under host_key.fingerprints",
			e.Switch, e.Got)
	}
	return fmt.Sprintf("switch %s presents the key %s, expected was %s: if the hardware was replaced, run `switchbind switches replace %s`",
		e.Switch, e.Got, e.Want, e.Switch)
}

func (e *HostKeyError) Unwrap() error { return e.Err }

// BusyError says that the switch is well but cannot take the change now: its configuration is locked or being edited, or it has
// no free session. Nothing was changed. Try again later.
type BusyError struct {
	Switch string
	Words  string // the switch's own words
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("switch %s is busy, nothing was changed: %s", e.Switch, Quote(e.Words))
}

// Rejection is one line, path or commit that the switch said no to.
type Rejection struct {
	Port  string // "" when it belongs to no single port
	VLAN  VLANID // 0 when it belongs to no single VLAN
	Line  string // what was sent
	Words string // what the switch answered
}

// RefusedError says that the switch said no. Where the NOS is atomic nothing was changed.
type RefusedError struct {
	Switch     string
	Rejections []Rejection // at least one
}

func (e *RefusedError) Error() string {
	if len(e.Rejections) == 0 {
		return fmt.Sprintf("switch %s refused the change", e.Switch)
	}
	first := e.Rejections[0]
	text := fmt.Sprintf("switch %s refused %s: %s", e.Switch, Quote(first.Line), Quote(first.Words))
	if more := len(e.Rejections) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// MismatchError says that the change was accepted but the configuration read back is not the desired one.
type MismatchError struct {
	Switch, Port string
	Want, Got    Port
	Detail       string // what differs, where the two ports alone do not show it
}

func (e *MismatchError) Error() string {
	text := fmt.Sprintf("switch %s port %s reads back as %q, wanted %q", e.Switch, e.Port, e.Got, e.Want)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// UnreadableError says that the switch's output is not what its dialect or model expects: another NOS, another version, or a
// prompt nobody foresaw. Nothing is written to a switch that cannot be read.
type UnreadableError struct {
	Switch string
	Doing  string
	Saw    string // the end of what was received
	Err    error
}

func (e *UnreadableError) Error() string {
	text := fmt.Sprintf("switch %s: cannot make sense of the answer while %s", e.Switch, e.Doing)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Saw != "" {
		text += "; the last of it was " + Quote(e.Saw)
	}
	return text + " (is the dialect the right one for this switch?)"
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// UnsupportedError says that the platform cannot express what was asked for. No retry helps.
type UnsupportedError struct {
	Platform string
	What     string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s cannot do this: %s", e.Platform, e.What)
}

// PortNameError says that a text cannot be the name of a port on this platform.
type PortNameError struct {
	Platform string
	Text     string
	Example  string
}

func (e *PortNameError) Error() string {
	return fmt.Sprintf("%s is not a port name on %s (one looks like %q)", Quote(e.Text), e.Platform, e.Example)
}

// Quote makes text from a switch or an event safe to show: one line, control characters escaped, at most 200 characters (the
// last ones, where switches put their complaint).
func Quote(text string) string {
	const most = 200
	text = strings.TrimSpace(text)
	runes := []rune(text)
	if len(runes) > most {
		text = "…" + string(runes[len(runes)-most:])
	}
	return fmt.Sprintf("%q", text)
}

// IsTransient reports whether trying again later, with nothing changed, may succeed.
func IsTransient(err error) bool {
	var unreachable *UnreachableError
	var busy *BusyError
	return errors.As(err, &unreachable) || errors.As(err, &busy)
}
