package cli

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/switchbind/switchbind/switchdrivers"
)

// hostKeyJudge decides which host keys of one switch are believed. A key that the known_hosts file contradicts is never
// believed, whatever else is configured.
type hostKeyJudge struct {
	sw     switchdrivers.Switch
	known  ssh.HostKeyCallback // nil without a known_hosts file
	pins   switchdrivers.PinStore
	pinned string // the fingerprint trusted on first use, "" when there is none yet
}

func newHostKeyJudge(sw switchdrivers.Switch, pins switchdrivers.PinStore) (*hostKeyJudge, error) {
	j := &hostKeyJudge{sw: sw, pins: pins}
	if file := sw.HostKey.KnownHosts; file != "" {
		callback, err := knownhosts.New(file)
		if err != nil {
			return nil, &switchdrivers.HostKeyError{Switch: sw.Name, Got: "(not asked for)", Err: fmt.Errorf("known_hosts file: %w", err)}
		}
		j.known = callback
	}
	if sw.HostKey.TrustOnFirstUse && pins != nil {
		pinned, err := pins.Pinned(sw.Name)
		if err != nil {
			return nil, fmt.Errorf("switch %s: reading the pinned host key: %w", sw.Name, err)
		}
		j.pinned = pinned
	}
	return j, nil
}

// check is nil when the key is believed; otherwise a [*switchdrivers.HostKeyError].
func (j *hostKeyJudge) check(address string, remote net.Addr, key ssh.PublicKey) error {
	got := ssh.FingerprintSHA256(key)
	refuse := func(want string, err error) error {
		return &switchdrivers.HostKeyError{Switch: j.sw.Name, Got: got, Want: want, Err: err}
	}
	if j.known != nil {
		err := j.known(address, remote, key)
		if err == nil {
			return nil
		}
		var unknown *knownhosts.KeyError
		if !errors.As(err, &unknown) {
			return refuse("", err) // revoked, for one
		}
		if len(unknown.Want) > 0 {
			return refuse(wanted(unknown.Want), err)
		}
	}
	expected := make([]string, len(j.sw.HostKey.Fingerprints))
	for i, fingerprint := range j.sw.HostKey.Fingerprints {
		expected[i] = normalFingerprint(fingerprint)
	}
	switch {
	case slices.Contains(expected, got):
		return nil
	case len(expected) > 0:
		return refuse(strings.Join(expected, " or "), nil)
	case !j.sw.HostKey.TrustOnFirstUse || j.pins == nil:
		return refuse("", nil)
	case j.pinned == got:
		return nil
	case j.pinned != "":
		return refuse(j.pinned, nil)
	}
	if err := j.pins.Pin(j.sw.Name, got); err != nil {
		return fmt.Errorf("switch %s: remembering the host key: %w", j.sw.Name, err)
	}
	j.pinned = got
	return nil
}

// algorithms are the lists of host key algorithms to ask for, one after the other.
func (j *hostKeyJudge) algorithms() [][]string {
	if kinds := j.knownKinds(); kinds != nil {
		return [][]string{kinds}
	}
	if len(j.sw.HostKey.Fingerprints) == 0 && j.pinned == "" {
		return [][]string{nil} // the library's default order
	}
	return [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	}
}

// knownKinds are the algorithms of the keys that the known_hosts file has for the switch: a server with several keys is asked
// for one that can be compared.
func (j *hostKeyJudge) knownKinds() []string {
	if j.known == nil {
		return nil
	}
	var unknown *knownhosts.KeyError
	if err := j.known(addressOf(j.sw), &net.TCPAddr{}, noKey{}); !errors.As(err, &unknown) {
		return nil
	}
	var kinds []string
	for _, known := range unknown.Want {
		switch kind := known.Key.Type(); kind {
		case ssh.KeyAlgoRSA:
			kinds = append(kinds, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// noKey is a key that no file holds: asking for it brings out what the file does hold.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("not a key") }

func wanted(known []knownhosts.KnownKey) string {
	var fingerprints []string
	for _, k := range known {
		fingerprints = append(fingerprints, ssh.FingerprintSHA256(k.Key))
	}
	return strings.Join(fingerprints, " or ")
}

// normalFingerprint accepts a fingerprint with or without "SHA256:" and base64 padding.
func normalFingerprint(text string) string {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	if !strings.HasPrefix(text, "SHA256:") {
		text = "SHA256:" + text
	}
	return text
}
