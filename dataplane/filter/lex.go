package filter

import (
	"net/netip"
	"regexp"
	"strings"
)

type kind uint8

const (
	end    kind = iota
	word        // a keyword, or a name
	quoted      // a name after a backslash: no keyword
	number
	dotted // an IPv4 address, or the beginning of one
	address6
	mac
	sign
)

type token struct {
	kind kind
	text string
	at   int
}

// The kinds of words as pcap-filter's scanner has them: the longest wins, and of the
// same length the first.
var scanners = []struct {
	kind kind
	re   *regexp.Regexp
}{
	{mac, regexp.MustCompile(`^[0-9a-fA-F]{1,2}(?:[:.-][0-9a-fA-F]{1,2}){5}`)},
	{dotted, regexp.MustCompile(`^[0-9]+(?:\.[0-9]+){1,3}`)},
	{number, regexp.MustCompile(`^(?:0[xX][0-9a-fA-F]+|[0-9]+)`)},
	{word, regexp.MustCompile(`^[A-Za-z0-9](?:[-_.A-Za-z0-9]*[.A-Za-z0-9])?`)},
	{quoted, regexp.MustCompile(`^\\[^ !()\n\t]+`)},
	{sign, regexp.MustCompile(`^(?:&&|\|\||!=|==|<=|>=|<<|>>|[][!()+*/%&|^<>=:-])`)},
}

var mayBeAddress6 = regexp.MustCompile(`^[0-9a-fA-F:]*:[0-9a-fA-F:.]*`)

// lex returns the words of a filter, and an end.
func lex(text string) (all []token, err error) {
	for at := 0; ; {
		at += len(text[at:]) - len(strings.TrimLeft(text[at:], " \t\r\n"))
		if at == len(text) {
			return append(all, token{end, "", at}), nil
		}
		t := next(text[at:])
		if t.text == "" {
			return nil, &Error{text, at, "unexpected " + quote(text[at:]), "see pcap-filter(7)"}
		}
		t.at = at
		at += len(t.text)
		if t.kind == quoted {
			t.text = t.text[1:]
		}
		all = append(all, t)
	}
}

// quote shows the first of some text.
func quote(text string) string {
	for i := range text {
		if i > 0 {
			return `"` + text[:i] + `"`
		}
	}
	return `"` + text + `"`
}

func next(text string) (t token) {
	if s := mayBeAddress6.FindString(text); s != "" {
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
			t = token{kind: address6, text: s}
		}
	}
	for _, s := range scanners {
		if found := s.re.FindString(text); len(found) > len(t.text) {
			t = token{kind: s.kind, text: found}
		}
	}
	return t
}
