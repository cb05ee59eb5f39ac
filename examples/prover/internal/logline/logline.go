// Package logline gives all programs of the example one kind of log line, because tests
// and operators grep them: RFC 3339 time in UTC, a blank, the message.
package logline

import (
	"io"
	"log"
	"time"
)

const layout = "2006-01-02T15:04:05.000Z"

type stamped struct{ to io.Writer }

func (s stamped) Write(line []byte) (int, error) {
	stamp := time.Now().UTC().Format(layout) + " "
	// One write a line, or the lines of two goroutines would mix.
	if _, err := s.to.Write(append([]byte(stamp), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// New logs to a writer.
func New(to io.Writer) *log.Logger { return log.New(stamped{to}, "", 0) }
