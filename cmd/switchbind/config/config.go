// Package config reads the one configuration file of switchbind.
//
// The file is YAML and is read strictly: what is not understood is refused, with file, line and column, and with the key that
// was probably meant. All faults are reported at once, because an operator with twenty switches should not have to try twenty
// times.
//
//	text ── parse ──> syntax tree ── decode ──> values, each with its place in the file
//	                                   │
//	             built-in defaults ────┤  switch_defaults ──> every switch starts from these
//	                                   │
//	                                 check ──> [Config], every field with its effective value; or [Error], every fault
//
// The file never holds a secret. It says where one is: a file or an environment variable. No message of this package repeats a
// value that stands where a secret could have been put by mistake.
//
// Whether a dialect exists and how its ports are called is not known here: [switchdrivers.NewInventory] checks that.
//
// schema.json describes the same file for editors and other programs; a test keeps the two in step.
package config

import (
	"time"

	"github.com/switchbind/switchbind/switchdrivers"
)

// Config is a checked configuration. Every field has its effective value, relative file names are resolved against the
// directory of the configuration file. It is not changed after it was loaded.
type Config struct {
	NATS     NATS     `yaml:"nats"`
	Embedded Embedded `yaml:"embedded"`
	Log      Log      `yaml:"log"`
	Snapshot Snapshot `yaml:"snapshot"`
	Dialects []string `yaml:"dialects"` // dialect files of the operator, added to the built-in ones or in their place

	// Switches are sorted by name; what `switch_defaults` says is already part of them.
	Switches []switchdrivers.Switch `yaml:"-"`

	// Warnings are what is allowed but should be known, for the whole file; those of a switch are
	// [switchdrivers.Switch.Warnings].
	Warnings []string `yaml:"-"`

	file  string
	where map[string]Position
}

// NATS says which NATS server to use. Without URL the service runs its own, see [Embedded]; user and password, or the token, are
// then what that asks everybody for. At most one way to log in may be given: user and password, token, creds file (JWT), nkey
// seed file; a client certificate under tls goes with any or none.
type NATS struct {
	URL          string  `yaml:"url"`    // one or several, separated by commas
	Prefix       string  `yaml:"prefix"` // what every subject begins with
	User         string  `yaml:"user"`
	PasswordFile string  `yaml:"password_file"`
	PasswordEnv  string  `yaml:"password_env"`
	TokenFile    string  `yaml:"token_file"`
	CredsFile    string  `yaml:"creds_file"`
	NKeyFile     string  `yaml:"nkey_file"`
	TLS          NATSTLS `yaml:"tls"`
}

// NATSTLS says how the NATS server is believed, and who we are. Using any field asks for TLS.
type NATSTLS struct {
	CA         string `yaml:"ca"` // PEM file; the system's pool when empty
	Cert       string `yaml:"cert"`
	Key        string `yaml:"key"`
	ServerName string `yaml:"server_name"`
	MinVersion string `yaml:"min_version"` // "1.2" or "1.3"
}

// Embedded says how the service's own NATS server runs, and where the service keeps files. DataDir is used with a foreign NATS
// server too: host keys that were trusted on first use are kept there.
type Embedded struct {
	Listen  string `yaml:"listen"`   // host:port, or "none": then only this process reaches it
	DataDir string `yaml:"data_dir"` // default: $STATE_DIRECTORY, or switchbind-data beside the configuration file
}

// Log says what is logged, on standard error.
type Log struct {
	Level  string `yaml:"level"`  // "debug", "info", "warn", "error"
	Format string `yaml:"format"` // "console", "json"; "" is console on a terminal and JSON elsewhere
}

// Snapshot protects against a controller's snapshot that would remove too much: beyond either limit it waits for
// `switchbind snapshot accept`.
type Snapshot struct {
	RemoveAtMost      int     `yaml:"remove_at_most"`       // bindings; at least 1
	RemoveShareAtMost float64 `yaml:"remove_share_at_most"` // of the source's bindings, more than 0, 1 is no limit
	// Sources are asked for a snapshot when the service starts, beside those that were heard of before.
	Sources []string `yaml:"sources"`
}

// Position is a place in the configuration file. Lines and columns count from 1; the zero value is "no place known".
type Position struct {
	File         string
	Line, Column int
}

// Where returns the place of a switch in the file, for faults that are found later.
func (c *Config) Where(switchName string) Position {
	p := c.where["switches."+switchName]
	p.File = c.file
	return p
}

// DefaultPrefix is what subjects begin with unless the configuration says otherwise.
const DefaultPrefix = "switchbind"

// defaults are the built-in values of everything outside switches.
func defaults() Config {
	return Config{
		NATS:     NATS{Prefix: DefaultPrefix, TLS: NATSTLS{MinVersion: "1.2"}},
		Embedded: Embedded{Listen: "127.0.0.1:4222"},
		Log:      Log{Level: "info"},
		Snapshot: Snapshot{RemoveAtMost: 20, RemoveShareAtMost: 0.2},
	}
}

// switchDefaults are the built-in values of a switch.
func switchDefaults() switchdrivers.Switch {
	return switchdrivers.Switch{
		TLS:            switchdrivers.TLS{MinVersion: "1.2"},
		ManageVLANs:    true,
		VLANNameFormat: "net-{network_id}",
		Descriptions:   true,
		Unexplained:    "quarantine",
		Drift:          "repair",
		Save:           switchdrivers.SavePolicy{After: 10 * time.Second},
		Timeouts: switchdrivers.Timeouts{
			Connect: 10 * time.Second,
			Command: 15 * time.Second,
			Commit:  time.Minute,
			Idle:    5 * time.Minute,
			Poll:    5 * time.Minute,
		},
	}
}
