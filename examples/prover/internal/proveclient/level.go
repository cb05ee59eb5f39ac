package proveclient

import (
	"io"
	"log"
	"strings"

	"proverctl.example/prover/internal/logline"
)

type level int

const (
	off level = iota
	faults
	warnings
	stories
	everything
)

var levels = map[string]level{
	"off": off, "error": faults, "warn": warnings, "info": stories, "debug": everything, "trace": everything,
}

// target is the name under which RUST_LOG directives address this program.
const target = "client"

// Logger writes what RUST_LOG allows. Unset it allows nothing, not even the reason of an
// exit: so the original behaves, and a fleet without RUST_LOG must show it.
type Logger struct {
	level level
	to    *log.Logger
}

// NewLogger takes RUST_LOG's value: `info`, `error,client=debug`, …
func NewLogger(to io.Writer, rustLog string) *Logger {
	logger := &Logger{to: logline.New(to)}
	for _, directive := range strings.Split(strings.ToLower(rustLog), ",") {
		name, value, found := strings.Cut(strings.TrimSpace(directive), "=")
		if !found {
			value = name
		}
		if found && name != target {
			continue
		}
		if parsed, known := levels[value]; known {
			logger.level = parsed
		}
	}
	return logger
}

// Info logs what happens.
func (l *Logger) Info(format string, values ...any) { l.log(stories, "INFO ", format, values) }

// Error logs what failed.
func (l *Logger) Error(format string, values ...any) { l.log(faults, "ERROR ", format, values) }

func (l *Logger) log(at level, prefix, format string, values []any) {
	if l.level >= at {
		l.to.Printf(prefix+format, values...)
	}
}
