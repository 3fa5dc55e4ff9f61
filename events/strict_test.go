package events

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/switchbind/switchbind/portbinding"
)

func TestStrictJSONRefusesWhatReadersWouldReadDifferently(t *testing.T) {
	for name, c := range map[string]struct{ text, pointer, problem string }{
		"a name twice":         {`{"a":{"b":1,"b":2}}`, "/a/b", "twice"},
		"text after the end":   {`{} {}`, "", "after the end"},
		"a bracket too many":   {`{}}`, "", "after the end"},
		"nothing":              {``, "", "ends too early"},
		"half an object":       {`{"a":`, "/a", "ends too early"},
		"invalid UTF-8":        {"{\"a\":\"\xff\"}", "", "UTF-8"},
		"NaN":                  {`{"a":NaN}`, "/a", "not JSON"},
		"a comment":            {`{"a":1 /* x */}`, "", "not JSON"},
		"bottomless":           {strings.Repeat(`{"a":`, 200000), "/a/a", "deeper than 32"},
		"bottomless array":     {strings.Repeat(`[`, 200000), "/0/0", "deeper than 32"},
		"a monstrous number":   {`{"a":1e999999999}`, "/a", "too large"},
		"an endless number":    {`{"a":0.` + strings.Repeat("1", 100000) + `}`, "/a", "too large or too long"},
		"single quotes":        {`{'a':1}`, "", "not JSON"},
		"a control character":  {"{\"a\":\"\n\"}", "/a", "not JSON"},
		"a bare word":          {`hello`, "", "not JSON"},
		"a slash in the name":  {`{"a/b~":{"c":1,"c":1}}`, "/a~1b~0/c", "twice"},
		"an unprintable name":  {"{\"a\\u0000\\n\":{\"c\":1,\"c\":1}}", "/a??/c", "twice"},
		"a name without value": {`{"a"}`, "", "not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseStrict([]byte(c.text))
			var invalid *portbinding.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("error is %v, want an InvalidError", err)
			}
			if !strings.HasPrefix(invalid.Pointer, c.pointer) || !strings.Contains(invalid.Problem, c.problem) {
				t.Errorf("got %q %q, want %q and %q", invalid.Pointer, invalid.Problem, c.pointer, c.problem)
			}
		})
	}
}

func TestStrictJSONWritesWholeNumbersWhole(t *testing.T) {
	got, err := parseStrict([]byte(`[110, 110.0, 1.1e2, -0, 1.5, 9223372036854775807]`))
	if err != nil {
		t.Fatal(err)
	}
	want := []any{json.Number("110"), json.Number("110"), json.Number("110"), json.Number("-0"), json.Number("1.5"),
		json.Number("9223372036854775807")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What Go's own decoder and the strict one both accept, they understand alike.
func TestStrictJSONAgreesWithGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := anyJSON(3).Draw(t, "value")
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		strict, err := parseStrict(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var loose any
		if err := json.Unmarshal(text, &loose); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(loose, plain(strict)); diff != "" {
			t.Error(diff)
		}
	})
}

func anyJSON(depth int) *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(v bool) any { return v }),
		rapid.Map(rapid.String(), func(v string) any { return v }),
		rapid.Map(rapid.Int32(), func(v int32) any { return v }),
		rapid.Map(rapid.Float64Range(-1e300, 1e300), func(v float64) any { return v }))
	if depth == 0 {
		return leaf
	}
	inner := anyJSON(depth - 1)
	return rapid.OneOf(leaf,
		rapid.Map(rapid.SliceOfN(inner, 0, 4), func(v []any) any { return v }),
		rapid.Map(rapid.MapOfN(rapid.String(), inner, 0, 4), func(v map[string]any) any { return v }))
}

func TestTokensAreInjectiveAndSafe(t *testing.T) {
	for text, want := range map[string]string{
		"leaf1": "leaf1", "leaf-1_a": "leaf-1_a", "leaf.1": "leaf=2E1", "": "=", "a b": "a=20b", "*": "=2A", ">": "=3E", "=": "=3D", "ü": "=C3=BC",
	} {
		if got := encodeToken(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if (encodeToken(a) == encodeToken(b)) != (a == b) {
			t.Errorf("%q and %q are both %q", a, b, encodeToken(a))
		}
		if strings.ContainsAny(encodeToken(a), ". *>\t\r\n/\\") {
			t.Errorf("%q is not a token", encodeToken(a))
		}
	})
}
