package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

var (
	nameExpression = regexp.MustCompile(namePattern)
	devExpression  = regexp.MustCompile(devPattern)
)

// decoder collects what is wrong with one file.
type decoder struct {
	file   string
	lines  []string
	errors Errors
	more   bool // than are told
}

// full tells that there is no sense in looking further.
func (d *decoder) full() bool { return len(d.errors) >= maxErrors }

// fail reports a mistake that a schema knows of, too.
func (d *decoder) fail(n ast.Node, path, remedy, format string, args ...any) {
	d.report(n, path, remedy, fmt.Sprintf(format, args...), false)
}

// beyond reports a mistake that no schema knows of.
func (d *decoder) beyond(n ast.Node, path, remedy, format string, args ...any) {
	d.report(n, path, remedy, fmt.Sprintf(format, args...), true)
}

// refuse reports what a parser says of a value.
func (d *decoder) refuse(n ast.Node, path string, err error, beyond bool) {
	var w *wrong
	if !errors.As(err, &w) {
		w = &wrong{err.Error(), "see 'weft config schema'"}
	}
	d.report(n, path, w.remedy, w.cause, beyond)
}

func (d *decoder) report(n ast.Node, path, remedy, cause string, beyond bool) {
	line, column, length := place(n)
	d.add(line, column, length, &Error{Subject: path, Cause: cause, Remedy: remedy, beyond: beyond})
}

// add places a mistake.
func (d *decoder) add(line, column, length int, e *Error) {
	if d.full() {
		d.more = true
		return
	}
	line = min(max(line, 1), max(len(d.lines), 1))
	source := ""
	if line <= len(d.lines) {
		source = d.lines[line-1]
	}
	e.File, e.Line, e.Column = d.file, line, min(max(column, 1), utf8.RuneCountInString(source)+1)
	e.Excerpt = excerpt(source, line, e.Column, length)
	d.errors = append(d.errors, e)
}

// all returns the mistakes by their place, nil if there are none.
func (d *decoder) all() error {
	if len(d.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(d.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if d.more {
		d.errors[len(d.errors)-1].Remedy += " (and more mistakes, which are not told)"
	}
	return d.errors
}

// place returns where a node begins, and how long it is on its line.
func place(n ast.Node) (line, column, length int) {
	t := beginning(n)
	if t == nil || t.Position == nil {
		return 1, 1, 1
	}
	return t.Position.Line, t.Position.Column, utf8.RuneCountInString(firstLine(strings.TrimSpace(t.Origin)))
}

func beginning(n ast.Node) *token.Token {
	switch n := n.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return beginning(n.Values[0])
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// mapping returns the entries of a mapping. Nothing at all is an empty one.
func (d *decoder) mapping(path string, n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	case *ast.NullNode:
		return nil, true
	}
	d.fail(n, path, "write 'key: value' there", "want keys with values, found %s", kindOf(n))
	return nil, false
}

// key returns the key of an entry, if it is text.
func (d *decoder) key(path string, v *ast.MappingValueNode) (string, bool) {
	s, ok := v.Key.(*ast.StringNode)
	if !ok {
		d.fail(v.Key, path, "put it in quotes if it is meant as a name", "want a name for a key, found %s", kindOf(v.Key))
		return "", false
	}
	return s.Value, true
}

// stringOf returns the text of a node that is text.
func stringOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// kindOf says what stands there, in the words of people.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode:
		return "a number"
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number with a point"
	case *ast.BoolNode:
		return "a truth value"
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}
