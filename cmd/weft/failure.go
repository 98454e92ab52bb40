package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"weft/control/config"
)

// code says to programs what went wrong.
type code string

const (
	codeFailed      code = "failed"
	codeUsage       code = "usage"
	codeNotFound    code = "not_found"
	codePartial     code = "partial"
	codeUnreachable code = "unreachable"
	codePermission  code = "permission"
)

var exits = map[code]int{
	codeFailed: 1, codeUsage: 2, codeNotFound: 2, codePartial: 3, codeUnreachable: 4, codePermission: 5,
}

const exitCodes = `  0  done; also when the reader of the output left early ('| head')
  1  failed
  2  wrong usage, or what was asked for is not there (also: no route to the address)
  3  done, and there is something to see to: verify found differences, doctor a FAIL,
     conformance a fail, lab check hosts that are not reached, status packets that
     are unaccounted, bench was interrupted, bench compare something worse
  4  no daemon answers
  5  not permitted`

// failure is an error that tells what to do about it. It prints as
// "subject: cause: what to do".
type failure struct {
	code  code
	what  string // subject: cause
	hint  string // what to do; may be ""
	quiet bool   // the output has said it: only the exit code is left to tell

	mistakes config.Errors // in a configuration file
}

func (f *failure) Error() string {
	if f.hint == "" {
		return f.what
	}
	return f.what + ": " + f.hint
}

func fail(c code, what, hint string) error { return &failure{code: c, what: what, hint: hint} }

func usage(what, hint string) error { return fail(codeUsage, what, hint) }

func usagef(format string, args ...any) error {
	return fail(codeUsage, fmt.Sprintf(format, args...), "")
}

// outcome ends a command that has printed what there is to say.
func outcome(c code) error { return &failure{code: c, what: string(c), quiet: true} }

func asFailure(err error) *failure {
	var f *failure
	var mistakes config.Errors
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &mistakes):
		return &failure{code: codeFailed, what: mistakes[0].What(), hint: mistakes[0].Remedy, mistakes: mistakes}
	case errors.Is(err, context.Canceled):
		return &failure{code: codeFailed, what: "interrupted"}
	case errors.Is(err, os.ErrPermission):
		return &failure{code: codePermission, what: err.Error(), hint: "try 'sudo weft'"}
	}
	return &failure{code: codeFailed, what: err.Error()}
}

// report prints an error and returns the exit code.
func report(w io.Writer, err error, asJSON bool) int {
	if err == nil || errors.Is(err, errReaderGone) {
		return 0
	}
	f := asFailure(err)
	switch {
	case f.quiet:
	case asJSON:
		type message struct {
			Code    code   `json:"code"`
			Message string `json:"message"`
			Hint    string `json:"hint"`

			Mistakes config.Errors `json:"mistakes,omitempty"` // all of a configuration file's
		}
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		// Nothing is left to do about a stderr that does not take it.
		_ = enc.Encode(map[string]message{"error": {f.code, f.what, f.hint, f.mistakes}})
	case f.mistakes != nil:
		fmt.Fprintln(w, f.mistakes) // FILE:LINE:COLUMN first, for editors
	default:
		fmt.Fprintln(w, "weft:", f)
	}
	return exits[f.code]
}
