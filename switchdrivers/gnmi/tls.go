package gnmi

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/switchbind/switchbind/switchdrivers"
)

// trust verifies a target's certificate and remembers why it was not believed: gRPC reports every failed handshake as an
// unavailable server, with the reason only in words. It is safe for concurrent use, since gRPC shakes hands on its own goroutine.
type trust struct {
	switchName string
	serverName string
	roots      *x509.CertPool // nil is the system's
	caFile     string

	mutex   sync.Mutex
	refused *switchdrivers.HostKeyError
	lacking bool // the target asked for a client certificate and there is none
}

// tlsConfig is the configuration of the connection to a switch. Files are read here, at every login, so that rotated
// certificates are used without a restart.
func tlsConfig(sw switchdrivers.Switch) (*tls.Config, *trust, error) {
	t := &trust{switchName: sw.Name, serverName: sw.TLS.ServerName, caFile: sw.TLS.CA}
	if t.serverName == "" {
		address, err := dialAddress(sw.Address)
		if err != nil {
			return nil, nil, err
		}
		if t.serverName, _, err = net.SplitHostPort(address); err != nil {
			return nil, nil, err
		}
	}
	config := &tls.Config{ServerName: t.serverName, MinVersion: tls.VersionTLS12}
	switch sw.TLS.MinVersion {
	case "", "1.2":
	case "1.3":
		config.MinVersion = tls.VersionTLS13
	default:
		return nil, nil, fmt.Errorf("tls.min_version is %q, which is neither 1.2 nor 1.3", sw.TLS.MinVersion)
	}
	if sw.TLS.CA != "" {
		pem, err := os.ReadFile(sw.TLS.CA)
		if err != nil {
			return nil, nil, fmt.Errorf("tls.ca: %w", err)
		}
		t.roots = x509.NewCertPool()
		if !t.roots.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("tls.ca: %s holds no certificate in PEM form", sw.TLS.CA)
		}
	}
	if sw.TLS.Cert != "" || sw.TLS.Key != "" {
		certificate, err := tls.LoadX509KeyPair(sw.TLS.Cert, sw.TLS.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("tls.cert and tls.key: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	} else {
		config.GetClientCertificate = t.lack
	}
	// The verification of crypto/tls is replaced by one that is the same and keeps what was presented.
	config.InsecureSkipVerify = true //nolint:gosec // verified below, unless the operator asked for no verification
	if !sw.TLS.SkipVerify {
		config.VerifyConnection = t.verify
	}
	return config, t, nil
}

// verify is called at the end of every handshake, resumed ones too, before anything is sent.
func (t *trust) verify(state tls.ConnectionState) error {
	var err error
	got := "no certificate"
	if len(state.PeerCertificates) == 0 {
		err = errors.New("the peer presented no certificate")
	} else {
		leaf := state.PeerCertificates[0]
		sum := sha256.Sum256(leaf.Raw)
		got = fmt.Sprintf("SHA256:%s (%s)", base64.RawStdEncoding.EncodeToString(sum[:]), switchdrivers.Quote(leaf.Subject.String()))
		options := x509.VerifyOptions{Roots: t.roots, DNSName: t.serverName, Intermediates: x509.NewCertPool()}
		for _, c := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(c)
		}
		_, err = leaf.Verify(options)
	}
	if err == nil {
		return nil
	}
	signer := "one of the system's CAs"
	if t.caFile != "" {
		signer = "a CA in " + t.caFile
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.refused = &switchdrivers.HostKeyError{
		Switch: t.switchName, Got: fmt.Sprintf("%s, %v", got, err),
		Want: fmt.Sprintf("a certificate for %q signed by %s", t.serverName, signer), Err: err,
	}
	return err
}

func (t *trust) refusal() *switchdrivers.HostKeyError {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.refused
}

// lack is called when a target asks for a client certificate and none is configured. It presents none, and leaves it to the
// target whether that will do.
func (t *trust) lack(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.lacking = true
	return &tls.Certificate{}, nil
}

func (t *trust) lacks() bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.lacking
}
