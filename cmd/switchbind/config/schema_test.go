package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/switchbind/switchbind/switchdrivers"
)

func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t testing.TB, s *jsonschema.Schema, text string) error {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

// paths lists every key a struct can be given, "a.b.c".
func paths(t reflect.Type, at string, into map[string]bool) {
	for key, i := range keysOf(t) {
		p := join(at, key)
		into[p] = true
		field := t.Field(i).Type
		if field.Kind() == reflect.Struct && field != reflect.TypeFor[switchdrivers.VLANSet]() {
			paths(field, p, into)
		}
	}
}

func schemaPaths(root, node map[string]any, at string, into map[string]bool) {
	if ref, ok := node["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/$defs/")
		schemaPaths(root, root["$defs"].(map[string]any)[name].(map[string]any), at, into)
	}
	properties, _ := node["properties"].(map[string]any)
	for key, child := range properties {
		p := join(at, key)
		into[p] = true
		schemaPaths(root, child.(map[string]any), p, into)
	}
}

func TestSchemaHasTheKeysOfTheStructs(t *testing.T) {
	structs := map[string]bool{"switch_defaults": true, "switches": true}
	paths(reflect.TypeFor[Config](), "", structs)
	paths(reflect.TypeFor[switchdrivers.Switch](), "switch_defaults", structs)

	var root map[string]any
	if err := json.Unmarshal(Schema, &root); err != nil {
		t.Fatal(err)
	}
	schema := map[string]bool{}
	schemaPaths(root, root, "", schema)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(structs)), slices.Sorted(maps.Keys(schema))); diff != "" {
		t.Errorf("keys of the structs (-) and of schema.json (+) differ:\n%s", diff)
	}
}

// The decoder must be able to read every field there is; a field of a new kind would be a fault at run time.
func TestDecoderKnowsTheKindOfEveryField(t *testing.T) {
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	c, err := Parse("c.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	for path := range c.where {
		for _, sw := range c.Switches {
			path = strings.Replace(path, "switches."+sw.Name+".", "switch_defaults.", 1)
		}
		given[path] = true
	}
	all := map[string]bool{}
	paths(reflect.TypeFor[Config](), "", all)
	paths(reflect.TypeFor[switchdrivers.Switch](), "switch_defaults", all)
	for _, alternative := range []string{"nats.password_env", "nats.token_file", "nats.creds_file", "nats.nkey_file"} {
		delete(all, alternative) // excluded by nats.user; all are text, like password_file
	}
	for path := range all {
		if !given[path] {
			t.Errorf("testdata/full.yaml does not use %s", path)
		}
	}
}

// Defaults stand in two places, the code and the schema, which people read.
func TestSchemaTellsTheDefaults(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(Schema, &root); err != nil {
		t.Fatal(err)
	}
	var compare func(node map[string]any, v reflect.Value, at string)
	compare = func(node map[string]any, v reflect.Value, at string) {
		properties, _ := node["properties"].(map[string]any)
		for key, i := range keysOf(v.Type()) {
			child, field := properties[key].(map[string]any), v.Field(i)
			switch told := child["default"]; x := field.Interface().(type) {
			case time.Duration:
				text, _ := told.(string)
				if d, err := time.ParseDuration(text); err != nil || d != x {
					t.Errorf("%s.%s: the schema says %v, the code %v", at, key, told, x)
				}
			case bool:
				if told != x {
					t.Errorf("%s.%s: the schema says %v, the code %v", at, key, told, x)
				}
			case int, switchdrivers.VLANID, float64:
				if n, ok := told.(float64); !ok || n != toFloat(field) {
					t.Errorf("%s.%s: the schema says %v, the code %v", at, key, told, x)
				}
			case string:
				if child["$ref"] == "#/$defs/tlsVersion" {
					told = root["$defs"].(map[string]any)["tlsVersion"].(map[string]any)["default"]
				}
				if x != "" && told != x || x == "" && told != nil {
					t.Errorf("%s.%s: the schema says %v, the code %q", at, key, told, x)
				}
			default:
				if field.Kind() == reflect.Struct && child["properties"] != nil {
					compare(child, field, at+"."+key)
				}
			}
		}
	}
	compare(root, reflect.ValueOf(defaults()), "")
	compare(root["$defs"].(map[string]any)["switch"].(map[string]any), reflect.ValueOf(switchDefaults()), "switch")
}

func toFloat(v reflect.Value) float64 {
	switch {
	case v.CanFloat():
		return v.Float()
	case v.CanUint():
		return float64(v.Uint())
	}
	return float64(v.Int())
}

func TestExamplesFitTheSchemaAndTheLoader(t *testing.T) {
	s := compiled(t)
	files, _ := filepath.Glob("testdata/*.yaml")
	if len(files) < 2 {
		t.Fatal("no examples found")
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(t, s, string(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Parse(name, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		if !strings.Contains(block[1], "switches:") {
			continue
		}
		found++
		if err := valid(t, s, block[1]); err != nil {
			t.Errorf("README.md: %v", err)
		}
		if _, err := Parse("README.md", []byte(block[1])); err != nil {
			t.Errorf("README.md: %v", err)
		}
	}
	if found == 0 {
		t.Error("README.md shows no configuration")
	}
}

// What only needs one look, key by key, is refused by the schema too, so that an editor shows it.
func TestSchemaRefusesWhatTheLoaderRefuses(t *testing.T) {
	s := compiled(t)
	for _, text := range []string{
		one("allowed_vlan: [1]"), one("idle: {vlan: 4095}"), one("allowed_vlans: [0]"), one("allowed_vlans: [x]"),
		one("timeouts: {poll: 300}"), one("save: {after: soon}"), one("manage_vlans: 'yes'"), one("drift: repare"),
		one("limits: {ports_per_change: -1}"), strings.Replace(one(), "[physnet1]", "[]", 1),
		strings.Replace(one(), "leaf1:", "'leaf 1':", 1), strings.Replace(one(), "key_file: id", "password: x", 1),
		"snapshot: {remove_share_at_most: 20}\n", "log: {level: loud}\n",
	} {
		if valid(t, s, text) == nil {
			t.Errorf("the schema takes:\n%s", text)
		}
		if _, err := Parse("c.yaml", []byte(text)); err == nil {
			t.Errorf("the loader takes:\n%s", text)
		}
	}
}
