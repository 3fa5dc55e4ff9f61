package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPins(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "host-keys")
	p := newPins(dir)
	expect := func(want string) {
		t.Helper()
		if got, err := newPins(dir).Pinned("leaf1.dc1"); err != nil || got != want { // as after a restart
			t.Errorf("Pinned: %q, %v; want %q", got, err, want)
		}
	}
	expect("")
	if err := p.Pin("leaf1.dc1", "SHA256:first"); err != nil {
		t.Fatal(err)
	}
	expect("SHA256:first")
	if err := p.Pin("leaf1.dc1", "SHA256:first"); err != nil {
		t.Error("pinning the same key again:", err)
	}
	if err := p.Pin("leaf1.dc1", "SHA256:other"); err == nil {
		t.Error("another key replaced the first one")
	}
	expect("SHA256:first")
	info, err := os.Stat(filepath.Join(dir, "leaf1.dc1"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("more than the pin was left behind: %v", files)
	}
	if err := p.Unpin("leaf1.dc1"); err != nil {
		t.Fatal(err)
	}
	expect("")
	if err := p.Unpin("leaf1.dc1"); err != nil {
		t.Error("unpinning what is not pinned:", err)
	}
}

func TestAnEmptiedPinTrustsNobody(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "leaf1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newPins(dir).Pinned("leaf1"); err == nil {
		t.Error("an empty file was taken for no pin")
	}
}

func TestPinsStayInTheirDirectory(t *testing.T) {
	p := newPins(t.TempDir())
	for _, name := range []string{"", ".", "..", "../leaf1", "a/b", "/etc/passwd"} {
		if err := p.Pin(name, "SHA256:x"); err == nil {
			t.Errorf("a key was pinned under the name %q", name)
		}
		if _, err := p.Pinned(name); err == nil {
			t.Errorf("a key was looked for under the name %q", name)
		}
	}
}
