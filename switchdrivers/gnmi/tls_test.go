package gnmi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/switchbind/switchbind/switchdrivers"
)

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "test CA"}}
	var der []byte
	der, a.key = sign(t, template, nil, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = writePEM(t, "CERTIFICATE", der)
	return a
}

// issue returns the files of a certificate and its key.
func (a *authority) issue(template *x509.Certificate) (certFile, keyFile string) {
	a.t.Helper()
	der, key := sign(a.t, template, a.cert, a.key)
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return writePEM(a.t, "CERTIFICATE", der), writePEM(a.t, "EC PRIVATE KEY", keyDER)
}

func sign(t *testing.T, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "pem")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := pem.Encode(file, &pem.Block{Type: kind, Bytes: der}); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

var (
	forServers = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	forClients = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	loopback   = []net.IP{net.IPv4(127, 0, 0, 1)}
)

func serverOption(t *testing.T, certFile, keyFile string, clients *authority, highest uint16) grpc.ServerOption {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MaxVersion: highest}
	if clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(clients.cert)
	}
	return grpc.Creds(credentials.NewTLS(config))
}

func TestCertificates(t *testing.T) {
	ours, foreign := newAuthority(t), newAuthority(t)
	good, goodKey := ours.issue(&x509.Certificate{IPAddresses: loopback, ExtKeyUsage: forServers, Subject: pkix.Name{CommonName: "leaf1"}})
	named, namedKey := ours.issue(&x509.Certificate{DNSNames: []string{"leaf1.example"}, ExtKeyUsage: forServers})
	expired, expiredKey := ours.issue(&x509.Certificate{IPAddresses: loopback, ExtKeyUsage: forServers,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	notServer, notServerKey := ours.issue(&x509.Certificate{IPAddresses: loopback, ExtKeyUsage: forClients})
	client, clientKey := ours.issue(&x509.Certificate{ExtKeyUsage: forClients})
	stranger, strangerKey := foreign.issue(&x509.Certificate{ExtKeyUsage: forClients})

	for _, c := range []struct {
		name      string
		cert, key string
		clients   *authority
		highest   uint16
		tls       switchdrivers.TLS
		want      string
	}{
		{"good", good, goodKey, nil, 0, switchdrivers.TLS{CA: ours.file}, "nil"},
		{"good, TLS 1.2", good, goodKey, nil, tls.VersionTLS12, switchdrivers.TLS{CA: ours.file, MinVersion: "1.2"}, "nil"},
		{"too old", good, goodKey, nil, tls.VersionTLS12, switchdrivers.TLS{CA: ours.file, MinVersion: "1.3"}, "unreachable"},
		{"another name", named, namedKey, nil, 0, switchdrivers.TLS{CA: ours.file}, "key"},
		{"the name that was given", named, namedKey, nil, 0, switchdrivers.TLS{CA: ours.file, ServerName: "leaf1.example"}, "nil"},
		{"a wrong name was given", good, goodKey, nil, 0, switchdrivers.TLS{CA: ours.file, ServerName: "leaf2.example"}, "key"},
		{"expired", expired, expiredKey, nil, 0, switchdrivers.TLS{CA: ours.file}, "key"},
		{"no server's", notServer, notServerKey, nil, 0, switchdrivers.TLS{CA: ours.file}, "key"},
		{"a foreign CA", good, goodKey, nil, 0, switchdrivers.TLS{CA: foreign.file}, "key"},
		{"the system's CAs", good, goodKey, nil, 0, switchdrivers.TLS{}, "key"},
		{"not verified, as asked", good, goodKey, nil, 0, switchdrivers.TLS{SkipVerify: true}, "nil"},
		{"no TLS, as asked, to a TLS server", good, goodKey, nil, 0, switchdrivers.TLS{Insecure: true}, "unreachable"},
		{"mutual", good, goodKey, ours, 0, switchdrivers.TLS{CA: ours.file, Cert: client, Key: clientKey}, "nil"},
		{"mutual, TLS 1.2", good, goodKey, ours, tls.VersionTLS12, switchdrivers.TLS{CA: ours.file, Cert: client, Key: clientKey}, "nil"},
		{"mutual, none presented", good, goodKey, ours, 0, switchdrivers.TLS{CA: ours.file}, "auth"},
		{"mutual, a stranger's", good, goodKey, ours, tls.VersionTLS12, switchdrivers.TLS{CA: ours.file, Cert: stranger, Key: strangerKey}, "auth"},
		{"a CA file that is gone", good, goodKey, nil, 0, switchdrivers.TLS{CA: good + ".gone"}, "auth"},
		{"a CA file without certificates", good, goodKey, nil, 0, switchdrivers.TLS{CA: goodKey}, "auth"},
		{"a client key that is gone", good, goodKey, nil, 0, switchdrivers.TLS{CA: ours.file, Cert: client, Key: clientKey + ".gone"}, "auth"},
		{"a version that does not exist", good, goodKey, nil, 0, switchdrivers.TLS{CA: ours.file, MinVersion: "1.1"}, "auth"},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := &fakeTarget{}
			sw := plain(target.serve(t, serverOption(t, c.cert, c.key, c.clients, c.highest)))
			sw.TLS = c.tls
			_, err := open(t, sw).Read(t.Context(), switchdrivers.Scope{})
			if got := kindOf(err); got != c.want {
				t.Fatalf("%s, want %s (%v)", got, c.want, err)
			}
			caps, _, _ := target.counts()
			if c.want != "nil" && caps != 0 {
				t.Error("a request was sent to a target that is not believed")
			}
			var key *switchdrivers.HostKeyError
			if errors.As(err, &key) && (!strings.Contains(key.Got, "SHA256:") || key.Want == "" || key.Err == nil) {
				t.Errorf("says too little: %+v", key)
			}
		})
	}
}

func TestATLSClientOnAPlainPort(t *testing.T) {
	sw := plain((&fakeTarget{}).serve(t))
	sw.TLS = switchdrivers.TLS{}
	if _, err := open(t, sw).Read(t.Context(), switchdrivers.Scope{}); kindOf(err) != "unreachable" {
		t.Error(err)
	}
}
