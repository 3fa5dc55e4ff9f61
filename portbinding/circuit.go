package portbinding

import (
	"math/rand/v2"
	"time"
)

// Backoff paces retries of one switch. Each switch has its own: a dead one delays nobody else.
type Backoff struct {
	First time.Duration // after the first failure; 0 is 1 s
	Most  time.Duration // never longer; 0 is 5 min
	// Auth is how long refused credentials, or a wrong host key, are not tried again: hammering locks accounts. 0 is 15 min.
	Auth time.Duration
}

func (b Backoff) withDefaults() Backoff {
	if b.First == 0 {
		b.First = time.Second
	}
	if b.Most == 0 {
		b.Most = 5 * time.Minute
	}
	if b.Auth == 0 {
		b.Auth = 15 * time.Minute
	}
	return b
}

// circuit is open while a switch that failed is left alone.
type circuit struct {
	pace     Backoff
	failures int
	err      error     // the last failure; nil while closed
	until    time.Time // when it is tried again
}

// fail opens the circuit. The wait doubles with every failure in a row; up to half of it is random, so that a rack of switches that
// lost power together does not come back to a thundering herd.
func (c *circuit) fail(err error, now time.Time) {
	c.failures++
	c.err = err
	wait := c.pace.First << min(c.failures-1, 20)
	if wait > c.pace.Most || wait <= 0 {
		wait = c.pace.Most
	}
	switch reasonOf(err) {
	case ReasonAuthFailed, ReasonHostKey:
		wait = c.pace.Auth
	}
	c.until = now.Add(wait - time.Duration(rand.Int64N(int64(wait)/2+1)))
	if r := reasonOf(err); r == ReasonAuthFailed || r == ReasonHostKey {
		c.until = now.Add(wait)
	}
}

func (c *circuit) succeed() { c.failures, c.err, c.until = 0, nil, time.Time{} }

// reset closes the circuit because a person said so, or because the configuration changed.
func (c *circuit) reset() { c.succeed() }

func (c *circuit) open(now time.Time) bool { return c.err != nil && now.Before(c.until) }
