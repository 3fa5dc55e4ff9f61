package cli

import (
	"io"

	scrapli "github.com/scrapli/scrapligo/transport"
)

// Open has nothing to do: the shell is open before scrapligo sees it, so that every step of opening is bounded by a context.
func (s *shell) Open(*scrapli.Args) error { return nil }

// Close ends the whole connection.
func (s *shell) Close() error {
	s.transport.close()
	return nil
}

// IsAlive reports whether the stream has not ended yet.
func (s *shell) IsAlive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// readSize is the most that is read at once. Every idle session waits with a buffer of this size.
const readSize = 8 << 10

// Read blocks until the switch sends something. That it is called again means that scrapligo has put the last piece into its
// queue: this is what settled says.
func (s *shell) Read(n int) ([]byte, error) {
	select {
	case s.settled <- struct{}{}:
	default:
	}
	b := make([]byte, min(n, readSize))
	got, err := s.stdout.Read(b)
	if got > 0 {
		return b[:got], nil
	}
	if err != nil {
		s.once.Do(func() { close(s.ended) })
		// Whatever it was, there is nothing more to read; scrapligo would retry any other error for ever.
		return nil, io.EOF
	}
	return nil, nil
}

// Write sends to the switch.
func (s *shell) Write(b []byte) error {
	_, err := s.stdin.Write(b)
	return err
}
