package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/switchbind/switchbind/switchdrivers"
)

// login is the ways in which one login may be tried. Each secret is offered once: a second try with the same password is how
// accounts get locked, so keyboard-interactive is used only where the switch did not already refuse the password.
type login struct {
	methods []ssh.AuthMethod
	agent   net.Conn
}

var errOnce = errors.New("the password was refused")

func newLogin(sw switchdrivers.Switch) (*login, error) {
	l := &login{}
	c := sw.Credentials
	var signers []ssh.Signer
	if c.KeyFile != "" {
		pem, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		signer, err := ssh.ParsePrivateKey(pem)
		if err != nil {
			return nil, fmt.Errorf("private key %s: %w", c.KeyFile, err)
		}
		signers = append(signers, signer)
	}
	if c.Agent {
		socket := os.Getenv("SSH_AUTH_SOCK")
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return nil, fmt.Errorf("ssh-agent at SSH_AUTH_SOCK=%q: %w", socket, err)
		}
		l.agent = conn
		fromAgent, err := agent.NewClient(conn).Signers()
		if err != nil {
			l.close()
			return nil, fmt.Errorf("ssh-agent: %w", err)
		}
		signers = append(signers, fromAgent...)
	}
	if len(signers) > 0 {
		l.methods = append(l.methods, ssh.PublicKeys(signers...))
	}
	password, err := c.Password()
	if err != nil {
		l.close()
		return nil, err
	}
	if password != "" {
		l.withPassword(password)
	}
	if len(l.methods) == 0 {
		return nil, errors.New("no password, key or agent is configured")
	}
	return l, nil
}

func (l *login) withPassword(password switchdrivers.Secret) {
	tried := false
	once := func() (string, error) {
		if tried {
			return "", errOnce
		}
		tried = true
		return password.Reveal(), nil
	}
	l.methods = append(l.methods, ssh.PasswordCallback(once),
		ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range questions {
				if echos[i] {
					continue // not a question for a secret
				}
				answer, err := once()
				if err != nil {
					return nil, err
				}
				answers[i] = answer
			}
			return answers, nil
		}))
}

func (l *login) close() {
	if l.agent != nil {
		_ = l.agent.Close()
	}
}

// isAuthFailure tells a refused login from a broken connection. The library has no type for it.
func isAuthFailure(err error) bool {
	text := err.Error()
	return errors.Is(err, errOnce) || strings.Contains(text, errOnce.Error()) || strings.Contains(text, "unable to authenticate") ||
		strings.Contains(text, "Too many authentication failures") || strings.Contains(text, "reason 14")
}
