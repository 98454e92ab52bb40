package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is a mistake in a configuration: where, what, and what to do about it.
type Error struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1
	Column  int    `json:"column"` // from 1, characters
	Subject string `json:"subject,omitempty"`
	Cause   string `json:"cause"`
	Remedy  string `json:"remedy"`
	Excerpt string `json:"excerpt"` // the line, and a caret below

	beyond bool // a schema does not know of it: it takes more than one value to see
}

// Error prints the mistake in one line.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.What()
	}
	return e.What() + ": " + e.Remedy
}

// What is the mistake without what to do about it.
func (e *Error) What() string {
	text := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Subject != "" {
		text += e.Subject + ": "
	}
	return text + e.Cause
}

// Errors are all mistakes that were found, by their place.
type Errors []*Error

// maxErrors is how many mistakes are told: the rest often comes of the first.
const maxErrors = 20

// Error prints the mistakes, each with the line that it is in.
func (es Errors) Error() string {
	var b strings.Builder
	for i, e := range es {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.Error())
		if e.Excerpt != "" {
			b.WriteByte('\n')
			b.WriteString(e.Excerpt)
		}
	}
	return b.String()
}

// wrong is what is the matter with a value.
type wrong struct{ cause, remedy string }

func (w *wrong) Error() string { return w.cause + ": " + w.remedy }

func wrongf(remedy, format string, args ...any) error {
	return &wrong{fmt.Sprintf(format, args...), remedy}
}

// excerptWidth is how much of a long line is shown.
const excerptWidth = 100

// excerpt shows a line with carets below n characters from column on.
func excerpt(line string, number, column, n int) string {
	runes := []rune(strings.TrimRight(line, "\r\n"))
	column = min(max(column, 1), len(runes)+1)
	from := 0
	if column > excerptWidth*3/4 {
		from = column - excerptWidth/2
	}
	shown := runes[from:min(len(runes), from+excerptWidth)]
	n = max(1, min(n, len(shown)-(column-1-from)))
	var b strings.Builder
	margin := fmt.Sprintf("%5d | ", number)
	b.WriteString(margin)
	for _, r := range shown {
		b.WriteRune(printable(r))
	}
	fmt.Fprintf(&b, "\n%s| %s%s", strings.Repeat(" ", utf8.RuneCountInString(margin)-2), strings.Repeat(" ", column-1-from), strings.Repeat("^", n))
	return b.String()
}

// printable keeps control characters off terminals, and carets below their
// place.
func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return ' '
	}
	return r
}
