package events

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// identity is a key pair of one of the three levels of NATS's decentralised authentication, with its public key.
func identity(t *testing.T, make func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	t.Helper()
	pair, err := make()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pair, public
}

// A server that trusts an operator lets in whoever shows a user's JWT and key, as creds files hold them.
func TestCredsFile(t *testing.T) {
	operator, operatorID := identity(t, nkeys.CreateOperator)
	account, accountID := identity(t, nkeys.CreateAccount)
	user, userID := identity(t, nkeys.CreateUser)
	encoded := func(text string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	operatorClaims := jwt.NewOperatorClaims(operatorID)
	encoded(operatorClaims.Encode(operator))
	accountClaims := jwt.NewAccountClaims(accountID)
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(accountID, encoded(accountClaims.Encode(operator))); err != nil {
		t.Fatal(err)
	}
	url := startForeignServer(t, &server.Options{TrustedOperators: []*jwt.OperatorClaims{operatorClaims}, AccountResolver: resolver})

	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(encoded(jwt.NewUserClaims(userID).Encode(account)), seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := Connect(t.Context(), ConnectOptions{URLs: []string{url}, CredsFile: file})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()

	stranger, _ := identity(t, nkeys.CreateAccount)
	forged, err := jwt.FormatUserConfig(encoded(jwt.NewUserClaims(userID).Encode(stranger)), seed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, forged, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Connect(t.Context(), ConnectOptions{URLs: []string{url}, CredsFile: file})
	if err == nil || strings.Contains(err.Error(), string(seed)) {
		t.Errorf("a JWT that nobody vouches for: %v", err)
	}
}
