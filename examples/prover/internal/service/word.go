package service

import (
	"fmt"
	"strings"
	"unicode"
)

// word keeps a client's text one field of one line: names with blanks, quotes or control
// characters are quoted, so that nobody can forge a log line.
func word(text string) string {
	odd := func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || !unicode.IsPrint(r) }
	if text == "" || strings.ContainsFunc(text, odd) {
		return fmt.Sprintf("%q", text)
	}
	return text
}
