package gnmi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/switchbind/switchbind/switchdrivers"
)

// failure turns the error of one RPC into one of the drivers' typed errors. ops are what was being written, nil for a read.
func (d *Driver) failure(ctx context.Context, doing string, ops []operation, err error) error {
	if cancelled := ctx.Err(); errors.Is(cancelled, context.Canceled) {
		return cancelled
	}
	code, words := status.Code(err), d.words(err)
	if errors.Is(err, context.DeadlineExceeded) { // before anything was sent, gRPC passes the bare context error on
		code = codes.DeadlineExceeded
	}
	unreachable := &switchdrivers.UnreachableError{Switch: d.sw.Name, Address: d.sw.Address, Doing: doing}
	switch code {
	case codes.DeadlineExceeded:
		unreachable.Timeout, unreachable.Err = true, context.DeadlineExceeded
		return unreachable
	case codes.Unavailable, codes.Canceled:
		if refused := d.session.distrust(); refused != nil {
			return refused
		}
		if d.session != nil && d.session.turnedDown(doing, words) {
			return &switchdrivers.AuthError{Switch: d.sw.Name, Username: d.sw.Credentials.Username,
				Err: fmt.Errorf("it wants another client certificate than tls.cert: %s", switchdrivers.Quote(words))}
		}
		unreachable.Err = errors.New(switchdrivers.Quote(words))
		return unreachable
	case codes.Unauthenticated, codes.PermissionDenied:
		return &switchdrivers.AuthError{Switch: d.sw.Name, Username: d.sw.Credentials.Username,
			Err: fmt.Errorf("%s %s", code, switchdrivers.Quote(words))}
	case codes.ResourceExhausted:
		if isTooLarge(words) { // gRPC itself says so, of what it has received
			break
		}
		return &switchdrivers.BusyError{Switch: d.sw.Name, Words: words}
	case codes.FailedPrecondition:
		// A Set while somebody's commit-confirmed window is open (gNMI extension gnmi-commit-confirmed).
		return &switchdrivers.BusyError{Switch: d.sw.Name, Words: words}
	case codes.Aborted:
		// The specification has it mean two things: that the whole Set failed because one of its operations did (3.4.7), and, as
		// everywhere in gRPC, that another writer was in the way. To try the first again is no use, to isolate a port because of
		// the second would be wrong. The words must say which it is.
		if ops == nil || isInTheWay(words) {
			return &switchdrivers.BusyError{Switch: d.sw.Name, Words: words}
		}
	}
	if ops == nil {
		return &switchdrivers.UnreadableError{Switch: d.sw.Name, Doing: doing, Saw: words, Err: errors.New(code.String())}
	}
	rejection := blame(ops, code.String()+": "+words)
	return &switchdrivers.RefusedError{Switch: d.sw.Name, Rejections: []switchdrivers.Rejection{rejection}}
}

// words are the target's own, without our password should it repeat it.
func (d *Driver) words(err error) string {
	words := status.Convert(err).Message()
	if d.session != nil && d.session.password != "" {
		words = strings.ReplaceAll(words, d.session.password.Reveal(), "***")
	}
	return words
}

func contains(words string, any ...string) bool {
	words = strings.ToLower(words)
	for _, one := range any {
		if strings.Contains(words, one) {
			return true
		}
	}
	return false
}

// isInTheWay reports whether the words of an ABORTED speak of another writer.
func isInTheWay(words string) bool {
	return contains(words, "lock", "in progress", "busy", "conflict", "concurrent", "another ", "try again", "retry", "being edited",
		"pending session", "pending commit")
}

func isTooLarge(words string) bool { return contains(words, "larger than max") }

// isClientCertificateRefused recognises the TLS alerts by which a server turns a client down (RFC 8446, section 6.2).
func isClientCertificateRefused(words string) bool {
	return contains(words, "remote error: tls: certificate required", "remote error: tls: bad certificate",
		"remote error: tls: unknown certificate", "remote error: tls: expired certificate",
		"remote error: tls: revoked certificate", "remote error: tls: access denied")
}

// blame finds the port or VLAN that the target's words are about. Where they name several, or none, it belongs to nobody, and
// the caller has to find out.
func blame(ops []operation, words string) switchdrivers.Rejection {
	rejection := switchdrivers.Rejection{Line: "SetRequest", Words: words}
	if len(ops) == 1 {
		rejection.Line = ops[0].String()
	}
	culprit := -1
	for i, op := range ops {
		if !op.namedIn(words) {
			continue
		}
		if culprit >= 0 && (ops[culprit].port != op.port || ops[culprit].vlan != op.vlan) {
			return rejection
		}
		if culprit < 0 || strings.Contains(words, op.path.String()) {
			culprit = i
		}
	}
	if culprit >= 0 {
		op := ops[culprit]
		rejection.Port, rejection.VLAN, rejection.Line = op.port, op.vlan, op.String()
	}
	return rejection
}

// namedIn reports whether the words name the operation's port, or the list entry of its VLAN. A VLAN's bare number proves
// nothing: a port may be refused for the VLAN that it was to join.
func (o operation) namedIn(words string) bool {
	if o.port != "" {
		return hasWord(words, o.port)
	}
	return strings.Contains(words, "vlan[vlan-id="+o.vlan.String()+"]")
}

// hasWord reports whether the name occurs as a whole: "Ethernet1" does not in "Ethernet10" or "Ethernet1/1".
func hasWord(words, name string) bool {
	for from := 0; ; {
		i := strings.Index(words[from:], name)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(name)
		before, _ := utf8.DecodeLastRuneInString(words[:start])
		if (start == 0 || !isNameRune(before)) && endsName(words[end:]) {
			return true
		}
		from = end
	}
}

func isNameRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '/' || r == '_' || r == '-'
}

// endsName reports whether a name ends where this text begins. Punctuation goes on with the name only if a number follows:
// "Ethernet1: no such" ends, "Ethernet1:1" and "Ethernet1.100" do not.
func endsName(after string) bool {
	next, size := utf8.DecodeRuneInString(after)
	if size == 0 || !isNameRune(next) && next != '.' && next != ':' {
		return true
	}
	if unicode.IsLetter(next) || unicode.IsDigit(next) || next == '_' {
		return false
	}
	number, size := utf8.DecodeRuneInString(after[size:])
	return size == 0 || !unicode.IsDigit(number)
}
