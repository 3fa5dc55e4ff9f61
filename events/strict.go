package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/switchbind/switchbind/portbinding"
)

// maxDepth is how deep JSON from outside may nest. The contract needs about ten levels.
const maxDepth = 32

// parseStrict reads one JSON value the way two careful programs would both read it: UTF-8 only, no name twice in an object, nothing
// after the value, no bottomless nesting, no number beyond a float64. Go's own decoder lets all of these pass, and a message that two
// readers understand differently is a way around a check. Numbers come out as json.Number, whole ones without point or exponent.
// Errors are *[portbinding.InvalidError].
func parseStrict(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, &portbinding.InvalidError{Problem: "the message is not UTF-8 text"}
	}
	p := &strictParser{dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	value, err := p.value(0)
	if err == nil {
		if _, end := p.dec.Token(); !errors.Is(end, io.EOF) {
			err = &portbinding.InvalidError{Problem: "there is more text after the end of the JSON value"}
		}
	}
	if err == nil {
		return value, nil
	}
	var invalid *portbinding.InvalidError
	if errors.As(err, &invalid) {
		return nil, invalid
	}
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, p.fault("the message is not JSON: it ends too early")
	case errors.As(err, &syntax):
		return nil, p.fault(fmt.Sprintf("the message is not JSON: %v at byte %d", syntax, syntax.Offset))
	}
	return nil, p.fault("the message is not JSON: " + err.Error())
}

type strictParser struct {
	dec  *json.Decoder
	path []string
}

func (p *strictParser) fault(problem string) error {
	return &portbinding.InvalidError{Pointer: pointer(p.path), Problem: problem}
}

func (p *strictParser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, p.fault(fmt.Sprintf("the JSON nests deeper than %d levels", maxDepth))
	}
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return p.object(depth)
		}
		return p.array(depth)
	case json.Number:
		return p.number(t)
	}
	return token, nil
}

func (p *strictParser) object(depth int) (any, error) {
	object := map[string]any{}
	for p.dec.More() {
		token, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string) // the decoder accepts nothing else here
		p.path = append(p.path, name)
		if _, twice := object[name]; twice {
			return nil, p.fault("this name stands twice in its object")
		}
		if object[name], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		p.path = p.path[:len(p.path)-1]
	}
	_, err := p.dec.Token()
	return object, err
}

func (p *strictParser) array(depth int) (any, error) {
	array := []any{}
	for p.dec.More() {
		p.path = append(p.path, strconv.Itoa(len(array)))
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
		p.path = p.path[:len(p.path)-1]
	}
	_, err := p.dec.Token()
	return array, err
}

// number refuses what no program can hold (1e999999999 would otherwise be computed exactly by the schema validator, digit by
// digit), and writes 110.0 and 1.1e2 as 110.
func (p *strictParser) number(n json.Number) (any, error) {
	f, err := n.Float64()
	if err != nil || len(n) > 64 {
		return nil, p.fault("the number is too large or too long")
	}
	if !strings.ContainsAny(n.String(), ".eE") {
		return n, nil
	}
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return json.Number(strconv.FormatInt(int64(f), 10)), nil
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), nil
}

// pointer writes a path as an RFC 6901 JSON pointer. Names come from outside and end in logs: they are shortened and made
// printable.
func pointer(path []string) string {
	var b strings.Builder
	for _, name := range path {
		if utf8.RuneCountInString(name) > 64 {
			name = string([]rune(name)[:64]) + "…"
		}
		name = strings.Map(func(r rune) rune {
			if !strconv.IsPrint(r) {
				return '?'
			}
			return r
		}, name)
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return b.String()
}

// fill copies parsed JSON into a Go value whose type the schema has already made sure of. Names must match exactly: Go's decoder
// would let "Port_ID" overwrite what the schema checked as "port_id". Unknown names are ignored, null is the zero value.
func fill(to reflect.Value, from any) error {
	if from == nil {
		return nil
	}
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		return fill(to.Elem(), from)
	case reflect.Struct:
		object, ok := from.(map[string]any)
		if !ok {
			return fmt.Errorf("%T is not an object", from)
		}
		for i := range to.NumField() {
			name, _, _ := strings.Cut(to.Type().Field(i).Tag.Get("json"), ",")
			value, present := object[name]
			if !present || name == "" || name == "-" {
				continue
			}
			if err := fill(to.Field(i), value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	case reflect.Slice:
		array, ok := from.([]any)
		if !ok {
			return fmt.Errorf("%T is not an array", from)
		}
		to.Set(reflect.MakeSlice(to.Type(), len(array), len(array)))
		for i, v := range array {
			if err := fill(to.Index(i), v); err != nil {
				return err
			}
		}
		return nil
	case reflect.Map:
		object, ok := plain(from).(map[string]any)
		if !ok {
			return fmt.Errorf("%T is not an object", from)
		}
		to.Set(reflect.ValueOf(object))
		return nil
	case reflect.String:
		if s, ok := from.(string); ok {
			to.SetString(s)
			return nil
		}
	case reflect.Bool:
		if b, ok := from.(bool); ok {
			to.SetBool(b)
			return nil
		}
	case reflect.Int, reflect.Int64:
		if n, ok := from.(json.Number); ok {
			i, err := n.Int64()
			if err != nil {
				return err
			}
			to.SetInt(i)
			return nil
		}
	}
	return fmt.Errorf("%T does not fit into %s", from, to.Type())
}

// plain turns the numbers of free-form JSON into float64, which is what the same text becomes when it is read from the ledger.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64()
		return f
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			out[name] = plain(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = plain(value)
		}
		return out
	}
	return v
}
