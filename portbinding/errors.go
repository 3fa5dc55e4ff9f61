package portbinding

import (
	"fmt"
	"strings"
)

// InvalidError says that a message or request breaks the contract. Nothing changes until it is sent again, corrected.
type InvalidError struct {
	Pointer string // RFC 6901 JSON pointer of the fault inside the message, "" for the whole
	Problem string
}

func (e *InvalidError) Error() string {
	if e.Pointer == "" {
		return "invalid message: " + e.Problem
	}
	return fmt.Sprintf("invalid message at %s: %s", e.Pointer, e.Problem)
}

// UnknownError says that a request names something that does not exist.
type UnknownError struct {
	Kind string // "port", "switch", "snapshot"
	Name string
	Hint string // what there is, or which command tells
}

func (e *UnknownError) Error() string {
	text := fmt.Sprintf("no %s %q is known", e.Kind, e.Name)
	if e.Name == "" { // none was named, where the only one there is would have been meant
		return strings.TrimSpace(fmt.Sprintf("which %s? %s", e.Kind, e.Hint))
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// LossError says that a configuration was not put in force because it would cut off what is bound.
type LossError struct {
	Losses []string // each with what to do about it
}

func (e *LossError) Error() string {
	return "the configuration would cut off what is bound:\n" + strings.Join(e.Losses, "\n")
}
