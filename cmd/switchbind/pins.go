package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// pins keeps the host keys that were trusted on first use: one file per switch, with the fingerprint in it, so that an operator can
// read and remove them. It implements switchdrivers.PinStore.
type pins struct {
	dir string
	mu  sync.Mutex
}

// newPins keeps its files in the directory, which is made when the first key is pinned.
func newPins(dir string) *pins { return &pins{dir: dir} }

var pinName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

func (p *pins) file(name string) (string, error) {
	if !pinName.MatchString(name) {
		return "", fmt.Errorf("no host key can be kept for a switch of the name %q", name)
	}
	return filepath.Join(p.dir, name), nil
}

// Pinned returns the fingerprint that is kept for a switch, "" when there is none.
func (p *pins) Pinned(name string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read(name)
}

func (p *pins) read(name string) (string, error) {
	file, err := p.file(name)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	}
	fingerprint := strings.TrimSpace(string(text))
	if fingerprint == "" { // an emptied file must not mean "trust anybody"
		return "", fmt.Errorf("the pinned host key in %s is empty: remove the file to trust the next key", file)
	}
	return fingerprint, nil
}

// Pin keeps the fingerprint of a switch's first key. A key that is kept already stays.
func (p *pins) Pin(name, fingerprint string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch known, err := p.read(name); {
	case err != nil:
		return err
	case known == fingerprint:
		return nil
	case known != "":
		return fmt.Errorf("another host key of switch %s is pinned already; `switchbind switches replace %s` gives it up", name, name)
	}
	file, err := p.file(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	return writeFile(file, []byte(fingerprint+"\n"))
}

// Unpin forgets a switch's key.
func (p *pins) Unpin(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	file, err := p.file(name)
	if err != nil {
		return err
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
