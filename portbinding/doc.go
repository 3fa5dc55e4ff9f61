// Package portbinding is the core of switchbind: it knows which port belongs on which network, makes each switch so, and says
// only what it read back. It knows no NATS and no SSH.
//
//	message -> merge -> entry -> ledger, book           what is wanted, and what may still be out there
//	                               |
//	book -> goal of one switch ----+-> plan -> guard -> change -> apply -> read back
//	          (resolve, wait)            ^                                    |
//	                     actual state ---+                                    v
//	result <- answer <- learn <------------------------------- outcome of every port
//
// It is level-triggered: a message never becomes a command. It changes an [Entry]; the switches that the entry touches become
// dirty; the one worker of each dirty switch reads it, compares, writes everything that differs in one change, reads back, and
// only then answers each binding. So bursts are one change, duplicates and late messages are nothing at all, a crash is a
// restart, and a change behind our back is just one more difference.
//
// Everything that decides is a function without I/O: resolve (binding and inventory to switch ports), merge (message and entry to
// entry), book.wait (may it have them now?), book.goalOf (what should this switch be?), planFor and guard (what must be written?),
// judge, fold and learn (what was found out?). What acts is in three places: the engine's commit (ledger, results, signals), the
// worker (one switch), and the applier (one change, less what the switch refuses).
//
// Two rules are worth knowing before reading on. First, what may have been applied is held until it is verified out: a claim that
// ends becomes a hold (Entry.Leaving), whether or not anything was written, and only a reading of the switch ends the hold.
// Second, of two networks in one VLAN the one that asked first goes first, and the time of asking (HeldVLAN.Since) survives
// leaving and coming back: a network that may already be in the VLAN is never the later one.
package portbinding
