package events

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// authority makes certificates that live for the test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	pair, certFile, _ := a.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	var err error
	if a.cert, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	a.key, a.file = pair.PrivateKey.(*ecdsa.PrivateKey), certFile
	return a
}

// issue makes one certificate, signed by the authority, or by itself when there is none yet.
func (a *authority) issue(t *testing.T, template *x509.Certificate) (pair tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certFile, keyFile
}

func startForeignServer(t *testing.T, o *server.Options) string {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not start")
	}
	return "nats://" + srv.Addr().String()
}

func TestMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	serverPair, _, _ := ca.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "nats"}, DNSNames: []string{"nats.example"},
		IPAddresses: []net.IP{net.IPv4(10, 9, 8, 7)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	_, clientCert, clientKey := ca.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "switchbind"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	url := startForeignServer(t, &server.Options{TLS: true, TLSVerify: true, TLSTimeout: 5, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{serverPair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}})

	good := ConnectTLS{CAFile: ca.file, CertFile: clientCert, KeyFile: clientKey, ServerName: "nats.example", MinVersion: "1.3"}
	conn, err := Connect(t.Context(), ConnectOptions{URLs: []string{url}, TLS: good})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for name, spoil := range map[string]func(*ConnectTLS){
		"a certificate for another name": func(c *ConnectTLS) { c.ServerName = "" },
		"an unknown authority":           func(c *ConnectTLS) { c.CAFile = newAuthority(t).file },
		"the system's authorities":       func(c *ConnectTLS) { c.CAFile = "" },
		"no client certificate":          func(c *ConnectTLS) { c.CertFile, c.KeyFile = "", "" },
	} {
		bad := good
		spoil(&bad)
		if conn, err := Connect(t.Context(), ConnectOptions{URLs: []string{url}, TLS: bad}); err == nil {
			conn.Close()
			t.Errorf("%s: got in", name)
		}
	}
}

func TestNkey(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := pair.PublicKey()
	seed, _ := pair.Seed()
	file := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	url := startForeignServer(t, &server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}})
	conn, err := Connect(t.Context(), ConnectOptions{URLs: []string{url}, NkeyFile: file})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := os.WriteFile(file, []byte("not a seed SUACSECRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Connect(t.Context(), ConnectOptions{URLs: []string{url}, NkeyFile: file})
	if err == nil || strings.Contains(err.Error(), "SUACSECRET") {
		t.Errorf("error is %v", err)
	}
}

func TestAConnectionThatBreaksComesBackAndIsToldOf(t *testing.T) {
	dir := t.TempDir()
	e, err := StartEmbedded(EmbeddedOptions{DataDir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	status := make(chan error, 10)
	conn, err := Connect(t.Context(), ConnectOptions{URLs: []string{e.URL()}, OnStatus: func(err error) { status <- err }})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := openBus(t, conn, Config{})
	core := newFakeCore()
	serve(t, b, core, "leaf1")
	w := within(t, "wake", core.woken)
	publish(t, b, b.subjects.binding(neutron, portA), bindingText(neutron, portA, 1))
	within(t, "batch", core.accepted)

	address := strings.TrimPrefix(e.URL(), "nats://")
	e.Shutdown()
	if err := within(t, "word of the break", status); err == nil {
		t.Error("the break was told without a reason")
	}
	if err := b.Signals().Dirty(t.Context(), "leaf1"); err == nil {
		t.Error("a signal was taken by a server that is gone")
	}
	e, err = StartEmbedded(EmbeddedOptions{DataDir: dir, Listen: address})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown()
	for within(t, "word of the return", status) != nil { // several breaks may be told of
	}
	publish(t, b, b.subjects.binding(neutron, portB), bindingText(neutron, portB, 1))
	for got := ""; got != portB; {
		for _, m := range within(t, "batch after the return", core.accepted) {
			got = m.Binding.PortID
		}
	}
	// The new server knows no pins: the switch is found without an owner and given out again, under another pin.
	for {
		if again := within(t, "wake after the return", core.woken); askFence(t, again.fence) == nil {
			break
		}
	}
	if err := askFence(t, w.fence); err == nil {
		t.Error("the fence of before the break lets through")
	}
}
