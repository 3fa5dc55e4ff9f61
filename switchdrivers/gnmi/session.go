package gnmi

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmic/pkg/api"
	"github.com/openconfig/gnmic/pkg/api/target"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/switchbind/switchbind/switchdrivers"
)

// session is one connection that has been logged in to, and what was learned about the target on it.
type session struct {
	target   *target.Target
	trust    *trust // nil without TLS
	password switchdrivers.Secret

	encoding pb.Encoding
	getType  pb.GetRequest_DataType // CONFIG, or ALL where the target refused that
	wholly   bool                   // asking for single ports was refused, or does not pay
}

// distrust returns why the target's certificate was not believed, or nil.
func (s *session) distrust() error {
	if s == nil || s.trust == nil {
		return nil
	}
	if refused := s.trust.refusal(); refused != nil {
		return refused
	}
	return nil
}

// turnedDown reports whether the target broke the connection for want of a client certificate that it likes. The alert that
// says so is often lost with the connection: under TLS 1.3 the target breaks it while we already send.
func (s *session) turnedDown(doing, words string) bool {
	return isClientCertificateRefused(words) || doing == connecting && s.trust != nil && s.trust.lacks()
}

const connecting = "connecting"

// The port that IANA gave to gNMI. Few vendors listen there (EOS 6030, SR Linux 57400, SONiC 8080, NX-OS 50051), so addresses
// had better have one.
const defaultPort = "9339"

// dialAddress adds the port. The library that dials would take commas and schemes for more than one address and for sockets.
func dialAddress(address string) (string, error) {
	if address == "" || strings.ContainsAny(address, ", \t\r\n") || strings.Contains(address, "//") {
		return "", fmt.Errorf("%s is not an address: write host or host:port", switchdrivers.Quote(address))
	}
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address, nil
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), defaultPort), nil
}

// The largest answer that is accepted: a whole chassis with state, should configuration alone not be had.
const mostBytes = 64 << 20

// connect opens a session, if there is none. Capabilities is its first request: it shows that the target can be reached, is
// believed, and takes the credentials, and says which encodings it speaks.
func (d *Driver) connect(ctx context.Context) error {
	if d.session != nil {
		return nil
	}
	s := &session{getType: pb.GetRequest_CONFIG}
	fail := func(err error) error {
		return &switchdrivers.AuthError{Switch: d.sw.Name, Username: d.sw.Credentials.Username, Err: err}
	}
	limit := atLeast(d.sw.Timeouts.Connect)
	options := []api.TargetOption{api.Name(d.sw.Name), api.Address(d.address), api.Timeout(limit)}
	if name := d.sw.Credentials.Username; name != "" {
		password, err := d.sw.Credentials.Password()
		if err != nil {
			return fail(err)
		}
		s.password = password
		options = append(options, api.Username(name), api.Password(password.Reveal()))
	}
	if d.sw.TLS.Insecure {
		options = append(options, api.Insecure(true))
	}
	t, err := api.NewTarget(options...)
	if err != nil {
		return fail(err)
	}
	if !d.sw.TLS.Insecure {
		config, trust, err := tlsConfig(d.sw)
		if err != nil {
			return fail(err)
		}
		t.Config.SetTLSConfig(config)
		s.trust = trust
	}
	s.target, d.session = t, s

	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// Without WithBlock this only prepares the connection, so its error is about the options; the first request connects.
	err = t.CreateGNMIClient(within, grpc.WithUserAgent("switchbind"), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(mostBytes)))
	var capabilities *pb.CapabilityResponse
	if err == nil {
		capabilities, err = t.Capabilities(within)
	}
	switch {
	case status.Code(err) == codes.Unimplemented:
		s.encoding = pb.Encoding_JSON_IETF
	case err != nil:
		err = d.failure(ctx, connecting, nil, err)
		d.drop()
		return err
	default:
		s.encoding = chooseEncoding(capabilities.GetSupportedEncodings())
	}
	return nil
}

// chooseEncoding prefers the encoding that is defined by an RFC. A target that names neither gets it as well: OpenConfig
// targets have to support it.
func chooseEncoding(offered []pb.Encoding) pb.Encoding {
	if slices.Contains(offered, pb.Encoding_JSON) && !slices.Contains(offered, pb.Encoding_JSON_IETF) {
		return pb.Encoding_JSON
	}
	return pb.Encoding_JSON_IETF
}

// drop ends the session.
func (d *Driver) drop() {
	if d.session != nil {
		_ = d.session.target.Close()
		d.session = nil
	}
}

// atLeast stands in for a limit that nobody set: no request goes without one.
func atLeast(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 30 * time.Second
	}
	return limit
}
