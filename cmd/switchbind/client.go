package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/switchbind/switchbind/events"
	"github.com/switchbind/switchbind/switchdrivers"
)

// natsFlags say how the command line reaches the service. Every flag has an environment variable of its own, so that a shell
// can be set up once; there is no flag for a secret, because everybody on a machine can read command lines.
type natsFlags struct {
	url, prefix, user, passwordFile, tokenFile, credsFile, nkeyFile, ca, cert, key, serverName string
}

func (f *natsFlags) add(flags *pflag.FlagSet) {
	for _, flag := range []struct {
		target              *string
		name, env, def, use string
	}{
		{&f.url, "nats", "SWITCHBIND_NATS_URL", "nats://" + events.DefaultListen, "NATS server"},
		{&f.prefix, "prefix", "SWITCHBIND_PREFIX", events.DefaultPrefix, "what subjects begin with"},
		{&f.user, "nats-user", "SWITCHBIND_NATS_USER", "",
			"NATS user; the password is in --nats-password-file or $SWITCHBIND_NATS_PASSWORD"},
		{&f.passwordFile, "nats-password-file", "SWITCHBIND_NATS_PASSWORD_FILE", "", "file with the NATS password"},
		{&f.tokenFile, "nats-token-file", "SWITCHBIND_NATS_TOKEN_FILE", "", "file with the NATS token; or $SWITCHBIND_NATS_TOKEN"},
		{&f.credsFile, "nats-creds", "SWITCHBIND_NATS_CREDS", "", "NATS creds file (JWT)"},
		{&f.nkeyFile, "nats-nkey", "SWITCHBIND_NATS_NKEY", "", "NATS nkey seed file"},
		{&f.ca, "nats-ca", "SWITCHBIND_NATS_CA", "", "CA certificates of the NATS server, PEM file"},
		{&f.cert, "nats-cert", "SWITCHBIND_NATS_CERT", "", "client certificate for NATS, PEM file"},
		{&f.key, "nats-key", "SWITCHBIND_NATS_KEY", "", "key of the client certificate, PEM file"},
		{&f.serverName, "nats-server-name", "SWITCHBIND_NATS_SERVER_NAME", "", "name in the NATS server's certificate"},
	} {
		flags.StringVar(flag.target, flag.name, cmp.Or(os.Getenv(flag.env), flag.def), flag.use+" [$"+flag.env+"]")
		if os.Getenv(flag.env) != "" { // help shows how it is, not what somebody's environment makes of it
			flags.Lookup(flag.name).DefValue = flag.def
		}
		if flag.name != "nats" && flag.name != "prefix" {
			flags.Lookup(flag.name).Hidden = true // shown by `help nats`: eleven flags at each verb would bury the verb's own
		}
	}
}

// topic is the help about the connection: `switchbind help nats`.
func (f *natsFlags) topic() *cobra.Command {
	var b strings.Builder
	all := pflag.NewFlagSet("nats", pflag.ContinueOnError)
	(&natsFlags{}).add(all)
	all.VisitAll(func(flag *pflag.Flag) { fmt.Fprintf(&b, "  --%-20s %s\n", flag.Name, flag.Usage) })
	return &cobra.Command{
		Use:   "nats",
		Short: "How the verbs reach the service over NATS",
		Long: `Every verb but serve, lab, config, schema and version asks the service over NATS. These flags say how; each has an
environment variable, so that a shell can be set up once. The secrets themselves are never on the command line.

` + b.String() + `
At most one way to log in may be given. Without any of these it is ` + "nats://" + events.DefaultListen + `, which is where the
embedded server of ` + "`switchbind serve`" + ` listens unless told otherwise.`,
	}
}

// options turns the flags into what a connection needs.
func (f *natsFlags) options() (events.ConnectOptions, error) {
	o := events.ConnectOptions{
		URLs: splitURLs(f.url), Name: "switchbind command line", Username: f.user,
		CredsFile: f.credsFile, NkeyFile: f.nkeyFile,
		TLS: events.ConnectTLS{CAFile: f.ca, CertFile: f.cert, KeyFile: f.key, ServerName: f.serverName},
	}
	var err error
	if o.Password, err = readSecret(f.passwordFile, "SWITCHBIND_NATS_PASSWORD"); err != nil {
		return o, fmt.Errorf("NATS password: %w", err)
	}
	if o.Token, err = readSecret(f.tokenFile, "SWITCHBIND_NATS_TOKEN"); err != nil {
		return o, fmt.Errorf("NATS token: %w", err)
	}
	return o, nil
}

func splitURLs(text string) []string {
	var urls []string
	for u := range strings.SplitSeq(text, ",") {
		if u = strings.TrimSpace(u); u != "" {
			urls = append(urls, u)
		}
	}
	return urls
}

// readSecret reads a secret from a file, or else from an environment variable; "" when there is neither.
func readSecret(file, env string) (switchdrivers.Secret, error) {
	if file == "" {
		return switchdrivers.Secret(os.Getenv(env)), nil
	}
	return switchdrivers.Credentials{PasswordFile: file}.Password()
}

// connect returns a client of the service and what ends it.
func (a *app) connect(ctx context.Context) (*events.Client, func(), error) {
	options, err := a.nats.options()
	if err != nil {
		return nil, nil, err
	}
	conn, err := events.Connect(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	client, err := events.NewClient(conn, a.nats.prefix)
	if err != nil {
		conn.Close()
		return nil, nil, &usageError{err}
	}
	return client, conn.Close, nil
}

// ask connects, asks one thing of the service, and disconnects.
func ask[Answer any](a *app, ctx context.Context, what func(context.Context, *events.Client) (Answer, error)) (Answer, error) {
	ctx, cancel := a.within(ctx, answerTime)
	defer cancel()
	var none Answer
	client, disconnect, err := a.connect(ctx)
	if err != nil {
		return none, err
	}
	defer disconnect()
	return what(ctx, client)
}

// person is who sits at this command line, for the records and as part of a source.
func person() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	return token(name)
}

// manualSource is the source of events by hand: one NATS token.
func manualSource() string { return "cli-" + person() }

// token makes one NATS token of a name: "DOMAIN\jörg" is "DOMAIN_j_rg".
func token(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, name)
	if name == "" {
		return "unknown"
	}
	return name[:min(len(name), 64)]
}
