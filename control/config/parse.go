package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file, so that no file takes more than seconds and some hundred
// megabytes.
const (
	MaxFile  = 4 << 20 // bytes
	maxLine  = 4096    // bytes: nesting goes no deeper than a line is long
	maxDepth = 64      // of brackets
	maxKeys  = 1024    // of one mapping: the parser compares each with each
)

// ReadFile reads a configuration file. What is not a regular file is read, too:
// a pipe, say.
//
// Errors: Errors; those of reading it.
func ReadFile(path string) (*Config, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(path, text)
	return c, text, err
}

// Parse reads the text of a configuration file; name is for errors.
//
// Errors: Errors.
func Parse(name string, text []byte) (*Config, error) {
	d := &decoder{file: name, lines: strings.SplitAfter(string(text), "\n")}
	body := d.parse(text)
	if err := d.all(); err != nil {
		return nil, err
	}
	c := Default()
	r := reader{config: c}
	if body == nil {
		d.add(1, 1, 1, &Error{Cause: "the file is empty", Remedy: "begin with 'version: 1'"})
		return nil, d.all()
	}
	r.file().read(d, "", body)
	if err := d.all(); err != nil {
		return nil, err
	}
	c.canonical()
	return c, nil
}

// parse returns the one document of a file, nil if it is empty.
func (d *decoder) parse(text []byte) ast.Node {
	if !d.bounded(text) {
		return nil
	}
	tokens := lexer.Tokenize(string(text))
	if !d.plain(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		d.syntax(err)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.DirectiveType:
		case body != nil:
			d.beyond(doc.Body, "", "leave one of them, without '---'", "a second document")
			return nil
		default:
			body = doc.Body
		}
	}
	return body
}

// bounded looks at what a parser is not to be troubled with.
func (d *decoder) bounded(text []byte) bool {
	if len(text) > MaxFile {
		d.lines = nil
		d.add(1, 1, 1, &Error{
			Cause: fmt.Sprintf("more than %d MiB", MaxFile>>20), Remedy: "bring so many routes by BGP", beyond: true,
		})
		return false
	}
	for i, line := range d.lines {
		what, at := "", 0
		switch {
		case !utf8.ValidString(line):
			what, at = "bytes that are not UTF-8", invalidAt(line)
		case strings.ContainsFunc(line, isControl):
			what, at = "a control character", strings.IndexFunc(line, isControl)
		case len(line) > maxLine:
			what, at = fmt.Sprintf("a line of more than %d bytes", maxLine), 0
		default:
			continue
		}
		d.lines[i] = strings.ToValidUTF8(line, "\uFFFD")
		d.add(i+1, utf8.RuneCountInString(line[:at])+1, 1, &Error{Cause: what, Remedy: "write plain text in UTF-8, in short lines", beyond: true})
		return false
	}
	return true
}

func invalidAt(line string) int {
	for i, r := range line {
		if r == utf8.RuneError && !strings.HasPrefix(line[i:], "\uFFFD") {
			return i
		}
	}
	return 0
}

func isControl(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f || r == 0xfeff
}

// plain refuses the parts of YAML that make a file mean more than it shows, and
// that a few lines can make gigabytes of.
func (d *decoder) plain(tokens token.Tokens) bool {
	depth, entries, line := 0, 0, 0
	var keys keyCounts
	for _, t := range tokens {
		what := ""
		switch t.Type {
		case token.MappingValueType:
			if depth == 0 && t.Prev != nil && keys.add(t.Prev.Position.Column) > maxKeys {
				what = fmt.Sprintf("more than %d keys in one mapping", maxKeys)
			}
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			what = "anchors, aliases and merge keys are not taken"
		case token.TagType:
			what = "tags are not taken"
		case token.MappingKeyType:
			what = "keys with '?' are not taken"
		case token.DirectiveType:
			what = "directives are not taken"
		case token.MappingStartType, token.SequenceStartType:
			if depth++; depth > maxDepth {
				what = fmt.Sprintf("more than %d brackets in each other", maxDepth)
			}
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType:
			if t.Position.Line != line {
				line, entries = t.Position.Line, 0
			}
			keys.end(t.Position.Column + 1)
			if entries++; entries > maxDepth {
				what = fmt.Sprintf("more than %d lists in each other", maxDepth)
			}
		}
		if what != "" {
			remedy := "write it out"
			if t.Type == token.AliasType || t.Type == token.AnchorType {
				remedy = "name next hops that many routes share in nexthop_groups"
			}
			d.add(t.Position.Line, t.Position.Column, len(strings.TrimSpace(t.Origin)), &Error{Cause: what, Remedy: remedy, beyond: true})
			return false
		}
	}
	return true
}

// keyCounts counts the keys of the mappings that are open, outside of brackets, by
// column.
type keyCounts []struct{ column, keys int }

// add counts a key, and returns how many its mapping has.
func (c *keyCounts) add(column int) int {
	c.end(column + 1)
	if n := len(*c); n == 0 || (*c)[n-1].column != column {
		*c = append(*c, struct{ column, keys int }{column, 0})
	}
	last := &(*c)[len(*c)-1]
	last.keys++
	return last.keys
}

// end closes the mappings from a column on.
func (c *keyCounts) end(column int) {
	for n := len(*c); n > 0 && (*c)[n-1].column >= column; n = len(*c) {
		*c = (*c)[:n-1]
	}
}

// remedies of mistakes that the parser of YAML tells of.
var remedies = []struct{ message, remedy string }{
	{"already defined", "keep one of them"},
	{"mapping value is not allowed", "put values with a colon at their end, or with ': ' in them, in quotes; see to the indentation"},
	{"cannot start any token", "indent with spaces, not tabs"},
	{"not found", "close the bracket"},
	{"end character", "close the quotes"},
	{"escape", "use '...' for text with backslashes"},
}

// syntax reports what the parser of YAML says.
func (d *decoder) syntax(err error) {
	var e yaml.Error
	line, column, length, message := 1, 1, 1, firstLine(err.Error())
	if errors.As(err, &e) {
		message = strings.ReplaceAll(e.GetMessage(), "\t", `\t`)
		if t := e.GetToken(); t != nil && t.Position != nil {
			line, column, length = t.Position.Line, t.Position.Column, utf8.RuneCountInString(firstLine(strings.TrimSpace(t.Origin)))
		}
	}
	remedy := "see to the indentation, and to quotes and brackets before it"
	for _, r := range remedies {
		if strings.Contains(message, r.message) {
			remedy = r.remedy
			break
		}
	}
	d.add(line, column, length, &Error{Cause: message, Remedy: remedy, beyond: true})
}
