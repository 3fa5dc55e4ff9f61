package switchdrivers

// Warnings are what this description of a switch allows and an operator should know, each one sentence. They are shown by
// `config check` and `switches`.
func (s Switch) Warnings() []string {
	var list []string
	if s.Driver == "gnmi" {
		switch {
		case s.TLS.Insecure:
			list = append(list, "no TLS (tls.insecure): credentials and configuration cross the network in clear text, "+
				"and anybody could be at the other end")
		case s.TLS.SkipVerify:
			list = append(list, "the TLS certificate is not verified (tls.skip_verify): anybody could be at the other end")
		}
	}
	if s.Driver == "ssh" && s.HostKey.TrustOnFirstUse {
		list = append(list, "the first host key ever seen is believed (host_key.trust_on_first_use): "+
			"whoever answers first is the switch")
	}
	return list
}
