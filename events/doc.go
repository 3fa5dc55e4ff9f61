// Package events is the contract with the network controller: what is said on NATS JetStream, in which words, and what is kept.
// It implements the boundary that package portbinding asks for ([portbinding.Ledger], [portbinding.Outbox],
// [portbinding.Signals]) and drives the engine through [Core], and knows nothing about switches.
//
//	controller ─ binding ─> BINDINGS ─> inbox ──┐ Accept            Put ┌─> ledger (KV: one key per port, one per switch)
//	           ─ snapshot > SNAPSHOTS ─> pages ─┤ Snapshot              │
//	                                            ├──────> Core ──────────┤─> outbox ─> RESULTS ─> controller, command line
//	command line ─ api.<verb> ─────────> api ───┤ List ...        Dirty │
//	                                            │                       └─> WORK (one subject per switch, last value only)
//	            one pinned consumer per switch <┴─ Wake(switch, fence) <─────┘
//	what breaks the contract ─────────────────────────────────────────────> DEAD (the original message; headers say why)
//
// Three things make it hold together when anything dies at any moment:
//
//   - The order ledger write, dirty signal, acknowledgement. [Core.Accept] returns only after the first two, and only then is the
//     message acknowledged; what was not is delivered again, and an equal binding changes nothing.
//   - A signal carries nothing but "this switch is dirty". It is acknowledged as soon as the worker has it, because the ledger
//     knows every unfinished entry: a start marks their switches dirty again, and so does every other process that finds a switch
//     without an owner.
//   - A pin is not a lock. Whoever writes to a switch asks its [portbinding.Fence] first: a proof, never older than a quarter
//     of the pin's lifetime, that the server still holds the pin for this process. A new owner waits out a whole lifetime.
//
// [StartEmbedded] runs a NATS server inside the process; [Connect] reaches one elsewhere. [Open] prepares streams and ledger on
// either, and [Bus.Serve] consumes. [Client] is the other side: what the command line uses.
package events
