package events

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/switchbind/switchbind/portbinding"
	"github.com/switchbind/switchbind/switchdrivers"
)

//go:embed schema/*.json
var schemaFiles embed.FS

// The names of the schemas.
const (
	SchemaBinding         = "binding"
	SchemaResult          = "result"
	SchemaDrift           = "drift"
	SchemaSnapshot        = "snapshot"
	SchemaSnapshotRequest = "snapshot-request"
	SchemaDeadLetter      = "dead-letter"
)

// Schemas returns the JSON Schema (2020-12) of every message, by name. A schema describes the whole message, envelope and data;
// that of dead letters describes their headers, because the body is the message that was refused.
func Schemas() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for name, text := range schemaTexts() {
		out[name] = slices.Clone(text)
	}
	return out
}

func schemaTexts() map[string][]byte {
	out := map[string][]byte{}
	entries, err := fs.ReadDir(schemaFiles, "schema")
	if err != nil {
		panic(err) // embedded: cannot fail
	}
	for _, entry := range entries {
		text, err := schemaFiles.ReadFile(path.Join("schema", entry.Name()))
		if err != nil {
			panic(err) // embedded: cannot fail
		}
		out[strings.TrimSuffix(entry.Name(), ".json")] = text
	}
	return out
}

// compiledSchemas compiles the embedded schemas, once. That they compile is tested.
var compiledSchemas = sync.OnceValue(func() map[string]*jsonschema.Schema {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	texts := schemaTexts()
	for name, text := range texts {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
		if err != nil {
			panic(fmt.Sprintf("embedded schema %s: %v", name, err))
		}
		if err := compiler.AddResource(schemaURL(name), doc); err != nil {
			panic(fmt.Sprintf("embedded schema %s: %v", name, err))
		}
	}
	compiled := map[string]*jsonschema.Schema{}
	for name := range texts {
		compiled[name] = compiler.MustCompile(schemaURL(name))
	}
	compiled[bareBinding] = compiler.MustCompile(schemaURL(SchemaBinding) + "#/$defs/binding")
	return compiled
})

// bareBinding is a binding without its envelope.
const bareBinding = "binding without envelope"

// validateBinding checks a parsed binding that has no envelope.
func validateBinding(binding any) error { return validate(bareBinding, binding) }

func schemaURL(name string) string { return "urn:switchbind:v1:" + name }

// validate checks a parsed message. The error is an *[portbinding.InvalidError] that names the first fault, in the order of the
// pointers, so that the same message always gets the same answer.
func validate(schema string, message any) error {
	err := compiledSchemas()[schema].Validate(message)
	if err == nil {
		return nil
	}
	var failed *jsonschema.ValidationError
	if !errors.As(err, &failed) {
		return &portbinding.InvalidError{Problem: err.Error()}
	}
	faults := map[portbinding.InvalidError]bool{}
	collectFaults(failed, faults)
	sorted := slices.SortedFunc(maps.Keys(faults), func(a, b portbinding.InvalidError) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Problem, b.Problem))
	})
	first := sorted[0]
	if more := len(sorted) - 1; more > 0 {
		first.Problem += fmt.Sprintf(" (and %d more faults)", more)
	}
	return &first
}

func collectFaults(e *jsonschema.ValidationError, into map[portbinding.InvalidError]bool) {
	if len(e.Causes) > 0 {
		for _, cause := range e.Causes {
			collectFaults(cause, into)
		}
		return
	}
	if missing, ok := e.ErrorKind.(*kind.Required); ok {
		for _, name := range missing.Missing {
			into[portbinding.InvalidError{
				Pointer: pointer(append(slices.Clone(e.InstanceLocation), name)), Problem: "this field is missing",
			}] = true
		}
		return
	}
	into[portbinding.InvalidError{Pointer: pointer(e.InstanceLocation), Problem: sentence(e.ErrorKind)}] = true
}

// sentence says in plain words what is wrong with a value. It quotes values, shortened.
func sentence(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("it is %s, and must be %s", article(k.Got), joinOr(k.Want))
	case *kind.Enum:
		want := make([]string, len(k.Want))
		for i, v := range k.Want {
			want[i] = quoteValue(v)
		}
		return fmt.Sprintf("it is %s, and must be one of %s", quoteValue(k.Got), strings.Join(want, ", "))
	case *kind.Const:
		return fmt.Sprintf("it is %s, and must be %s", quoteValue(k.Got), quoteValue(k.Want))
	case *kind.Minimum:
		return fmt.Sprintf("it is %s, and must be at least %s", number(k.Got), number(k.Want))
	case *kind.Maximum:
		return fmt.Sprintf("it is %s, and must be at most %s", number(k.Got), number(k.Want))
	case *kind.MinLength:
		return fmt.Sprintf("it has %d characters, and must have at least %d", k.Got, k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("it has %d characters, and may have at most %d", k.Got, k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("it has %d elements, and must have at least %d", k.Got, k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("it has %d elements, and may have at most %d", k.Got, k.Want)
	case *kind.Pattern:
		if meaning, ok := patternMeanings[k.Want]; ok {
			return fmt.Sprintf("it is %s, and must be %s", quoteValue(k.Got), meaning)
		}
		return fmt.Sprintf("it is %s, and must match %s", quoteValue(k.Got), k.Want)
	case *kind.Format:
		return fmt.Sprintf("it is %s, and must be a %s", quoteValue(k.Got), k.Want)
	}
	return fmt.Sprintf("it breaks the schema's rule %q", strings.Join(k.KeywordPath(), "/"))
}

// patternMeanings says in words what the patterns of the schemas mean.
var patternMeanings = map[string]string{
	`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`: "a UUID in lower case, like b16e0dcd-67e8-4442-9a66-4d1692f5846f",
	`^[A-Za-z0-9_-]{1,128}$`:   "one NATS token: letters, digits, _ and -, at most 128",
	`^[^\x00-\x1f\x7f-\x9f]*$`: "text without control characters",
}

func article(jsonType string) string {
	switch jsonType {
	case "null":
		return "null"
	case "array", "object", "integer":
		return "an " + jsonType
	}
	return "a " + jsonType
}

func joinOr(types []string) string {
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = article(t)
	}
	return strings.Join(out, " or ")
}

func number(r *big.Rat) string {
	if r == nil {
		return "?"
	}
	if r.IsInt() && len(r.Num().String()) <= 24 {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return fmt.Sprint(f)
}

func quoteValue(v any) string {
	if s, ok := v.(string); ok {
		return switchdrivers.Quote(s)
	}
	text, err := json.Marshal(v)
	if err != nil || len(text) > 200 {
		return "something else"
	}
	return string(text)
}
