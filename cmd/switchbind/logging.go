package main

import (
	"io"
	"time"

	"github.com/rs/zerolog"

	"github.com/switchbind/switchbind/cmd/switchbind/config"
)

// newLog makes the service's log: lines for people on a terminal, JSON for everything else, unless the configuration chooses.
func newLog(out io.Writer, c config.Log) zerolog.Logger {
	if c.Format == "console" || c.Format == "" && isTerminal(out) {
		out = zerolog.ConsoleWriter{Out: out, TimeFormat: time.TimeOnly, NoColor: !isTerminal(out)}
	}
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil || c.Level == "" {
		level = zerolog.InfoLevel
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger()
}
