// Package cli drives switches over SSH, as a person would: it types lines and reads what the switch answers.
//
// What is typed and how the answer is read is data: a dialect, one YAML file for each network operating system (directory
// dialects, embedded; a user's file adds or overrides one). Go code knows four things only: how to reach the switch
// (transport.go: TCP, host keys, logins), how to tell one answer from the next (session.go for a shell with prompts, exec.go
// for systems that run one command per SSH channel), in which manner a change is made to stick (apply.go), and how
// configuration text of a family of systems is read back (parse_config.go, parse_ovs.go).
//
//	dialect + Change ─ render ─> Script ─ session ─> answers, one per line ─ error patterns ─> nil, Refused, Busy
//	                                                 show commands ─ parser + grammar ─> State
//
// [Platform.Render] and Apply are one path: what a plan prints is what is sent, up to the suffix that makes the name of a
// configuration session unique.
//
// What the styles of the systems have in common decided the form of a dialect:
//   - session: changes gather in a session or candidate, are compared, and committed at once (EOS, Junos, SR Linux, VRP V8);
//   - transaction: the whole change is one command of a shell (Open vSwitch, NVUE);
//   - VLAN-centric systems need both ends of a change; templates see From and To, and the sets that come and go.
package cli
