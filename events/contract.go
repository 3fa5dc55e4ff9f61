package events

import (
	"fmt"
	"regexp"
	"strings"
)

// DefaultPrefix is the first token of every subject unless the configuration says otherwise.
const DefaultPrefix = "switchbind"

// The CloudEvents types of the messages. They do not change with the prefix of the subjects.
const (
	TypeBinding         = "switchbind.binding.v1"
	TypeResult          = "switchbind.result.v1"
	TypeDrift           = "switchbind.drift.v1"
	TypeSnapshot        = "switchbind.snapshot.v1"
	TypeSnapshotRequest = "switchbind.snapshot-request.v1"
)

// MaxMessageBytes is the most an event may have, envelope and all.
const MaxMessageBytes = 256 << 10

// snapshotRequestToken is the last token of a snapshot request's subject; no snapshot may have it as its id.
const snapshotRequestToken = "request"

var (
	sourcePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}$`)
	uuidPattern   = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

// subjects spells every subject, stream and bucket name of one prefix.
type subjects struct{ prefix string }

func newSubjects(prefix string) (subjects, error) {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	if !prefixPattern.MatchString(prefix) {
		return subjects{}, fmt.Errorf("subject prefix %q: it must be one or more NATS tokens of letters, digits, _ and -, joined by dots",
			prefix)
	}
	return subjects{prefix}, nil
}

func (s subjects) binding(source, port string) string { return s.join("binding", source, port) }
func (s subjects) snapshot(source, id string) string  { return s.join("snapshot", source, id) }
func (s subjects) snapshotRequest(source string) string {
	return s.snapshot(source, snapshotRequestToken)
}
func (s subjects) result(source, port string) string { return s.join("result", source, port) }
func (s subjects) drift(switchName string) string    { return s.join("drift", encodeToken(switchName)) }
func (s subjects) dead(reason string) string         { return s.join("dead", reason) }
func (s subjects) api(verb string) string            { return s.join("api", verb) }
func (s subjects) dirty(switchName string) string    { return s.join("work", encodeToken(switchName)) }

func (s subjects) join(tokens ...string) string { return s.prefix + "." + strings.Join(tokens, ".") }

// stream returns the name of a stream: SWITCHBIND_BINDINGS for "BINDINGS" under the default prefix. Two installations with
// different prefixes can share an account.
func (s subjects) stream(kind string) string {
	return strings.ToUpper(strings.ReplaceAll(s.prefix, ".", "_")) + "_" + kind
}

// bucket is the name of the ledger's key-value bucket.
func (s subjects) bucket() string { return strings.ReplaceAll(s.prefix, ".", "_") + "-ledger" }

// tail returns the two last tokens of a subject of the given kind ("binding", "snapshot"), where it is one.
func (s subjects) tail(kind, subject string) (first, second string, ok bool) {
	rest, ok := strings.CutPrefix(subject, s.prefix+"."+kind+".")
	if !ok {
		return "", "", false
	}
	first, second, ok = strings.Cut(rest, ".")
	if !ok || strings.Contains(second, ".") {
		return "", "", false
	}
	return first, second, true
}

// encodeToken makes one NATS token, which is also a valid key and consumer name, of any text: letters, digits, _ and - stand for
// themselves, every other byte is =XX. Different texts give different tokens; the empty text gives "=".
func encodeToken(text string) string {
	if text == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "=%02X", c)
	}
	return b.String()
}
