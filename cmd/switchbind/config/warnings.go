package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// warnings tells what is allowed and risky outside the switches.
func warnings(c *Config) []string {
	var list []string
	host, _, _ := net.SplitHostPort(c.Embedded.Listen)
	switch {
	case c.NATS.URL == "" && c.Embedded.Listen != "none" && !loopback(host):
		text := "the embedded NATS server listens beyond this machine without TLS"
		if c.NATS.User == "" && c.NATS.TokenFile == "" {
			text += " and asks nobody for a password: whoever reaches it commands the switches"
		}
		list = append(list, "embedded.listen: "+text)
	case c.NATS.URL != "":
		if _, given := c.where["embedded.listen"]; given {
			list = append(list, "embedded.listen: is not used, because nats.url names a server")
		}
	}
	encrypted := c.NATS.TLS != (NATSTLS{MinVersion: c.NATS.TLS.MinVersion})
	for u := range strings.SplitSeq(c.NATS.URL, ",") {
		parsed, err := url.Parse(strings.TrimSpace(u))
		if err == nil && !encrypted && (parsed.Scheme == "nats" || parsed.Scheme == "ws") && !loopback(parsed.Hostname()) {
			list = append(list, "nats.url: the connection to "+parsed.Host+" is not encrypted unless the server asks for TLS; "+
				"write tls:// or set nats.tls")
		}
	}
	if len(c.Switches) == 0 {
		list = append(list, "switches: there are none; every binding of a bare metal port will be refused")
	}
	for i := range c.Switches {
		for _, warning := range c.Switches[i].Warnings() {
			list = append(list, "switches."+c.Switches[i].Name+": "+warning)
		}
	}
	return list
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// fileWarnings looks at the files and environment variables that the configuration names. It names the key, not the file: what
// stands there may be a password that somebody took the key for.
func fileWarnings(c *Config) []string {
	var list []string
	readable := func(path, file string, secret bool) {
		if file == "" {
			return
		}
		switch info, err := os.Stat(file); {
		case os.IsNotExist(err):
			list = append(list, path+": there is no such file")
		case err != nil:
			list = append(list, path+": the file cannot be looked at: "+reason(err))
		case info.IsDir():
			list = append(list, path+": is a directory, not a file")
		case secret && info.Mode().Perm()&0o077 != 0:
			list = append(list, fmt.Sprintf("%s: others may read this secret (mode %04o); chmod 600 it", path, info.Mode().Perm()))
		default:
			f, err := os.Open(file)
			if err != nil {
				list = append(list, path+": the file cannot be read: "+reason(err))
				return
			}
			f.Close()
		}
	}
	variable := func(path, name string) {
		if _, set := os.LookupEnv(name); name != "" && !set {
			list = append(list, path+": the environment variable is not set")
		}
	}
	n := &c.NATS
	readable("nats.password_file", n.PasswordFile, true)
	variable("nats.password_env", n.PasswordEnv)
	readable("nats.token_file", n.TokenFile, true)
	readable("nats.creds_file", n.CredsFile, true)
	readable("nats.nkey_file", n.NKeyFile, true)
	readable("nats.tls.ca", n.TLS.CA, false)
	readable("nats.tls.cert", n.TLS.Cert, false)
	readable("nats.tls.key", n.TLS.Key, true)
	for i := range c.Switches {
		sw := &c.Switches[i]
		path := "switches." + sw.Name
		readable(path+".credentials.password_file", sw.Credentials.PasswordFile, true)
		variable(path+".credentials.password_env", sw.Credentials.PasswordEnv)
		readable(path+".credentials.key_file", sw.Credentials.KeyFile, true)
		readable(path+".credentials.enable_password_file", sw.Credentials.EnablePasswordFile, true)
		variable(path+".credentials.enable_password_env", sw.Credentials.EnablePasswordEnv)
		if sw.Credentials.Agent {
			variable(path+".credentials.agent (SSH_AUTH_SOCK)", "SSH_AUTH_SOCK")
		}
		readable(path+".host_key.known_hosts", sw.HostKey.KnownHosts, false)
		readable(path+".tls.ca", sw.TLS.CA, false)
		readable(path+".tls.cert", sw.TLS.Cert, false)
		readable(path+".tls.key", sw.TLS.Key, true)
	}
	return list
}

// reason is the operating system's word without the file name.
func reason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return "unknown"
}
