package switchdrivers

import (
	"fmt"
	"os"
	"strings"
)

// Secret is a password or passphrase. However it is printed or encoded, it shows as "***".
type Secret string

func (Secret) String() string               { return "***" }
func (Secret) GoString() string             { return "***" }
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// Reveal returns the secret itself, for the one call that sends it.
func (s Secret) Reveal() string { return string(s) }

// Password reads the login password from where the configuration says it is. It is "" when the configuration names no place.
func (c Credentials) Password() (Secret, error) { return readSecret(c.PasswordFile, c.PasswordEnv) }

// EnablePassword reads the secret of the privileged mode, "" when the configuration names no place.
func (c Credentials) EnablePassword() (Secret, error) {
	return readSecret(c.EnablePasswordFile, c.EnablePasswordEnv)
}

func readSecret(file, env string) (Secret, error) {
	switch {
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("password file: %w", err)
		}
		return Secret(strings.TrimRight(string(b), "\r\n")), nil
	case env != "":
		value, set := os.LookupEnv(env)
		if !set {
			return "", fmt.Errorf("environment variable %s is not set", env)
		}
		return Secret(value), nil
	}
	return "", nil
}
