package events

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/switchbind/switchbind/switchdrivers"
)

// MinServerVersion is the oldest NATS server that has what is used here: pinned consumers came with 2.11.
const MinServerVersion = "2.11.0"

// ConnectOptions say how to reach a NATS server. At most one way to authenticate is used: a user with a password, a token, a
// creds file (JWT), or an nkey seed file; a client certificate may come on top.
type ConnectOptions struct {
	URLs []string // nats://, tls:// or ws://; several are the servers of one cluster
	Name string   // shown in the server's connection list

	Username  string
	Password  switchdrivers.Secret
	Token     switchdrivers.Secret
	CredsFile string // user JWT and seed, as `nsc generate creds` writes them
	NkeyFile  string // nkey seed

	TLS ConnectTLS

	// Timeout bounds the first connection; 0 is 5 seconds. A connection that breaks later is tried again for ever.
	Timeout time.Duration
	// OnStatus, where set, is told when the connection breaks (with the reason) and when it is back (nil).
	OnStatus func(error)
	// OnError, where set, is told what goes wrong beside that: a permission that is missing, a subscription that is too slow.
	OnError func(error)
}

// ConnectTLS says how to encrypt the connection and whom to believe. TLS is used when the URL says so, or when any field is set.
type ConnectTLS struct {
	CAFile     string // PEM; empty: the system's authorities
	CertFile   string // client certificate, for mutual TLS
	KeyFile    string
	ServerName string // the name in the server's certificate, where it is not the one in the URL
	MinVersion string // "1.2" (the default) or "1.3"
}

func (t ConnectTLS) isZero() bool { return t == ConnectTLS{} }

// OldServerError says that the server lacks what is used.
type OldServerError struct{ Version string }

func (e *OldServerError) Error() string {
	return fmt.Sprintf("the NATS server is version %s, switchbind needs %s or later (pinned consumers)", e.Version, MinServerVersion)
}

// Connect connects and makes sure that the server is new enough. Neither its errors nor the callbacks ever tell a secret.
func Connect(ctx context.Context, o ConnectOptions) (*nats.Conn, error) {
	if len(o.URLs) == 0 {
		return nil, errors.New("NATS: no URL to connect to")
	}
	return connect(ctx, o)
}

func connect(ctx context.Context, o ConnectOptions, extra ...nats.Option) (*nats.Conn, error) {
	opts, err := natsOptions(o)
	if err != nil {
		return nil, err
	}
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	opts = append(opts, nats.Timeout(timeout))
	opts = append(opts, extra...)
	nc, err := nats.Connect(strings.Join(o.URLs, ","), opts...)
	if err != nil {
		where := redactURLs(o.URLs)
		if where == "" {
			where = "the embedded server"
		}
		return nil, &ConnectError{Where: where, Err: scrub(err, o)}
	}
	if !atLeast(nc.ConnectedServerVersion(), MinServerVersion) {
		version := nc.ConnectedServerVersion()
		nc.Close()
		return nil, &OldServerError{Version: version}
	}
	return nc, nil
}

// ConnectError says that no NATS server was reached, or that it did not let us in.
type ConnectError struct {
	Where string
	Err   error
}

func (e *ConnectError) Error() string {
	hint := ""
	switch {
	case errors.Is(e.Err, nats.ErrNoServers):
		hint = " (is it running, and is the address right?)"
	case errors.Is(e.Err, nats.ErrAuthorization):
		hint = " (check the NATS credentials)"
	}
	return fmt.Sprintf("cannot connect to NATS at %s: %v%s", e.Where, e.Err, hint)
}

func (e *ConnectError) Unwrap() error { return e.Err }

func natsOptions(o ConnectOptions) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		// Nothing is published into the buffer of a broken connection: a publication that nobody stored must fail.
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(), // credentials that are rotated come back
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		// Without a handler the library writes to standard error.
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if o.OnError != nil {
				o.OnError(scrub(err, o))
			}
		}),
	}
	if o.OnStatus != nil {
		opts = append(opts,
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				if err == nil {
					err = errors.New("the connection was closed")
				}
				o.OnStatus(scrub(err, o))
			}),
			nats.ReconnectHandler(func(*nats.Conn) { o.OnStatus(nil) }))
	}
	auth, err := authOption(o)
	if err != nil {
		return nil, err
	}
	if auth != nil {
		opts = append(opts, auth)
	}
	if !o.TLS.isZero() {
		config, err := o.TLS.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.Secure(config))
	}
	return opts, nil
}

func authOption(o ConnectOptions) (nats.Option, error) {
	var ways []string
	var option nats.Option
	if o.Username != "" || o.Password != "" {
		ways, option = append(ways, "username and password"), nats.UserInfo(o.Username, o.Password.Reveal())
	}
	if o.Token != "" {
		ways, option = append(ways, "token"), nats.Token(o.Token.Reveal())
	}
	if o.CredsFile != "" {
		if _, err := os.Stat(o.CredsFile); err != nil {
			return nil, fmt.Errorf("NATS creds file: %w", err)
		}
		ways, option = append(ways, "creds file"), nats.UserCredentials(o.CredsFile)
	}
	if o.NkeyFile != "" {
		nkey, err := nats.NkeyOptionFromSeed(o.NkeyFile)
		if err != nil {
			return nil, fmt.Errorf("NATS nkey seed file %s: %w", o.NkeyFile, err)
		}
		ways, option = append(ways, "nkey file"), nkey
	}
	if len(ways) > 1 {
		return nil, fmt.Errorf("NATS: %s are given; choose one way to authenticate", strings.Join(ways, " and "))
	}
	return option, nil
}

func (t ConnectTLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	switch t.MinVersion {
	case "", "1.2":
	case "1.3":
		config.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("NATS TLS: min_version %q: it must be \"1.2\" or \"1.3\"", t.MinVersion)
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("NATS TLS: ca file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("NATS TLS: ca file %s holds no certificate in PEM form", t.CAFile)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("NATS TLS: a client certificate needs both its cert file and its key file")
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("NATS TLS: client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// checkJetStream makes sure that the account may use JetStream, which streams.go would otherwise complain about less clearly.
func checkJetStream(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.AccountInfo(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount),
		errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("the NATS server has no JetStream (for this account): enable it, switchbind keeps its state there: %w", err)
	}
	return fmt.Errorf("asking the NATS server for JetStream: %w", err)
}

// redactURLs writes the URLs without the credentials some people put into them.
func redactURLs(urls []string) string {
	out := make([]string, len(urls))
	for i, text := range urls {
		out[i] = redactURL(text)
	}
	return strings.Join(out, ",")
}

func redactURL(text string) string {
	full := text
	if !strings.Contains(full, "://") {
		full = "nats://" + full
	}
	u, err := url.Parse(full)
	if err != nil {
		return "(an address that cannot be read)"
	}
	u.User = nil
	u.RawQuery = ""
	return u.String()
}

// scrubbed is an error whose text had secrets in it.
type scrubbed struct {
	text string
	err  error
}

func (e *scrubbed) Error() string        { return e.text }
func (e *scrubbed) Is(target error) bool { return errors.Is(e.err, target) }

// scrub takes every secret of the options out of an error's text. The original is kept for errors.Is alone.
func scrub(err error, o ConnectOptions) error {
	text := err.Error()
	for _, u := range o.URLs {
		text = strings.ReplaceAll(text, u, redactURL(u))
		if parsed, perr := url.Parse(u); perr == nil && parsed.User != nil {
			if password, ok := parsed.User.Password(); ok && password != "" {
				text = strings.ReplaceAll(text, password, "***")
			} else if name := parsed.User.Username(); name != "" {
				text = strings.ReplaceAll(text, name, "***") // a token
			}
		}
	}
	for _, secret := range []string{o.Password.Reveal(), o.Token.Reveal()} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if text == err.Error() {
		return err
	}
	return &scrubbed{text, err}
}

// atLeast compares dotted version numbers; what follows a dash ("2.12.0-RC.1") does not count.
func atLeast(version, want string) bool {
	a, b := versionNumbers(version), versionNumbers(want)
	for i := range a {
		if a[i] != b[i] {
			return a[i] > b[i]
		}
	}
	return true
}

func versionNumbers(text string) (n [3]int) {
	text, _, _ = strings.Cut(strings.TrimPrefix(text, "v"), "-")
	for i, part := range strings.SplitN(text, ".", 3) {
		_, _ = fmt.Sscanf(part, "%d", &n[i]) // a part without a number counts as 0
	}
	return n
}
