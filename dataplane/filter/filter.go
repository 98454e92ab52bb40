package filter

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// Filter is a compiled filter. Any goroutine may use it.
type Filter struct {
	text string
	code []bpf.Instruction
	vm   *bpf.VM
}

// textMost bounds the length of a filter, bytes. A filter of any such text compiles in milliseconds.
const textMost = 4096

// Error says what is wrong with a filter, and where.
type Error struct {
	Text   string // the filter
	At     int    // byte of it where the cause is; len(Text): its end
	Cause  string
	Remedy string
}

// Error names the filter, the place, the cause and the remedy.
func (e *Error) Error() string {
	where := fmt.Sprintf("at byte %d", e.At)
	if e.At >= len(e.Text) {
		where = "at its end"
	}
	s := fmt.Sprintf("filter %q, %s: %s", e.Text, where, e.Cause)
	if e.Remedy != "" {
		s += ": " + e.Remedy
	}
	return s
}

// Parse compiles a filter. One without words matches all frames.
//
// Errors: *Error.
func Parse(text string) (*Filter, error) {
	if len(text) > textMost {
		return nil, &Error{text[:20] + "...", textMost, fmt.Sprintf("it has %d bytes", len(text)), fmt.Sprintf("want at most %d", textMost)}
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{text: text, tokens: tokens, link: ethernet}
	c, err := p.whole()
	if err != nil {
		return nil, err
	}
	code, err := compile(c)
	if err != nil {
		return nil, &Error{text, len(text), err.Error(), "make it shorter"}
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		return nil, &Error{text, len(text), err.Error(), "report it: it is a mistake of weft's"}
	}
	return &Filter{text, code, vm}, nil
}

// String returns the filter's text.
func (f *Filter) String() string { return f.text }

// Code returns its instructions, which end with a non-zero value for frames that match. They
// stay the Filter's.
func (f *Filter) Code() []bpf.Instruction { return f.code }

// Match tells whether a whole frame matches. It does not allocate.
func (f *Filter) Match(frame []byte) bool {
	n, err := f.vm.Run(frame)
	return err == nil && n != 0
}
