package cli

import (
	"embed"
	"fmt"
	"os"
	"path"

	"github.com/switchbind/switchbind/switchdrivers"
)

//go:embed dialects/*.yaml
var shipped embed.FS

// Driver is the name under which the configuration asks for this package's drivers.
const Driver = "ssh"

// LoadDialects returns the shipped dialects by name, and those of the given files, which add to them or take the place of one of
// the same name.
func LoadDialects(files ...string) (map[string]*Dialect, error) {
	dialects := map[string]*Dialect{}
	entries, err := shipped.ReadDir("dialects")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		content, err := shipped.ReadFile(path.Join("dialects", entry.Name()))
		if err != nil {
			return nil, err
		}
		d, err := decodeDialect(entry.Name(), content)
		if err != nil {
			return nil, err
		}
		dialects[d.Name] = d
	}
	own := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("dialect file: %w", err)
		}
		d, err := decodeDialect(file, content)
		if err != nil {
			return nil, err
		}
		if other, twice := own[d.Name]; twice {
			return nil, fmt.Errorf("dialect %q is defined by both %s and %s", d.Name, other, file)
		}
		own[d.Name] = file
		dialects[d.Name] = d
	}
	return dialects, nil
}

// Register adds a platform for every dialect, shipped and in the given files, to the registry.
func Register(r switchdrivers.Registry, files ...string) error {
	dialects, err := LoadDialects(files...)
	if err != nil {
		return err
	}
	for name, d := range dialects {
		if err := r.Add(Driver, name, NewPlatform(d)); err != nil {
			return err
		}
	}
	return nil
}
