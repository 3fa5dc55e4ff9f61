package switchdrivers

import (
	"fmt"
	"strings"
)

// MAC is a switch's or node's hardware address in its one canonical spelling: twelve lower-case hexadecimal digits in pairs,
// "52:54:00:00:00:01".
type MAC string

// ParseMAC reads a MAC address in any common spelling: 52:54:00:00:00:01, 52-54-00-00-00-01, 5254.0000.0001, 525400-000001,
// 525400000001, in upper or lower case.
func ParseMAC(text string) (MAC, error) {
	digits := make([]byte, 0, 12)
	for _, r := range strings.ToLower(strings.TrimSpace(text)) {
		switch {
		case r >= '0' && r <= '9' || r >= 'a' && r <= 'f':
			digits = append(digits, byte(r))
		case r == ':' || r == '-' || r == '.':
		default:
			return "", fmt.Errorf("%s is not a MAC address", Quote(text))
		}
		if len(digits) > 12 {
			break
		}
	}
	if len(digits) != 12 {
		return "", fmt.Errorf("%s is not a MAC address", Quote(text))
	}
	var b strings.Builder
	for i := 0; i < 12; i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.Write(digits[i : i+2])
	}
	return MAC(b.String()), nil
}

// UnmarshalYAML reads any common spelling.
func (m *MAC) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	parsed, err := ParseMAC(text)
	*m = parsed
	return err
}
