package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"weft/control/config/spell"
)

// value is what may stand at a place of the file. The decoder and the schema are
// both made of it, so that they agree.
type value interface {
	// read takes what stands there, or tells what is wrong with it.
	read(d *decoder, path string, n ast.Node)
	schema() map[string]any
}

// object is a mapping whose keys are known.
type object struct {
	title  string
	fields []field
	oneOf  []string    // of these keys at most one may be there
	check  func(found) // of the whole, when its parts are right; may be nil
}

type field struct {
	name     string
	help     string
	required bool
	value    value
}

// found is an object that was read: its keys, for checks that need several.
type found struct {
	d    *decoder
	path string
	node ast.Node
	keys map[string]*ast.MappingValueNode
}

func (f found) has(key string) bool { return f.keys[key] != nil }

// wrong reports a mistake that takes more than one value to see, at the value of a
// key or, without it, at the object.
func (f found) wrong(key, remedy, format string, args ...any) {
	node, path := f.node, f.path
	if v := f.keys[key]; v != nil {
		node, path = v.Value, join(f.path, key)
	}
	f.d.beyond(node, path, remedy, format, args...)
}

func (o *object) names() (names []string) {
	for _, f := range o.fields {
		names = append(names, f.name)
	}
	return names
}

func (o *object) read(d *decoder, path string, n ast.Node) {
	values, ok := d.mapping(path, n)
	if !ok {
		return
	}
	f := found{d: d, path: path, node: n, keys: map[string]*ast.MappingValueNode{}}
	before := len(d.errors)
	for _, v := range values {
		key, ok := d.key(path, v)
		if !ok {
			continue
		}
		i := slices.IndexFunc(o.fields, func(f field) bool { return f.name == key })
		if i < 0 {
			d.fail(v.Key, join(path, key), o.unknown(key), "no such key")
			continue
		}
		f.keys[key] = v
		o.fields[i].value.read(d, join(path, key), v.Value)
	}
	o.complete(f)
	if o.check != nil && len(d.errors) == before {
		o.check(f)
	}
}

// unknown is what to do about a key that is not there.
func (o *object) unknown(key string) string {
	if near := spell.Nearest(key, o.names()); near != "" {
		return "did you mean " + near + "?"
	}
	return "want one of " + strings.Join(o.names(), ", ")
}

// complete checks which keys are there together, and which are not.
func (o *object) complete(f found) {
	for _, field := range o.fields {
		if field.required && !f.has(field.name) {
			f.d.fail(f.node, f.path, "add '"+field.name+": ...'", "%s is missing", field.name)
		}
	}
	var first string
	for _, key := range o.oneOf {
		switch {
		case !f.has(key):
		case first == "":
			first = key
		default:
			f.d.fail(f.keys[key].Key, join(f.path, key), "keep one of them", "%s is there, too", first)
		}
	}
}

func (o *object) schema() map[string]any {
	properties, required := map[string]any{}, []any{}
	for _, f := range o.fields {
		s := f.value.schema()
		s["description"] = f.help
		properties[f.name] = s
		if f.required {
			required = append(required, f.name)
		}
	}
	s := map[string]any{"type": "object", "title": o.title, "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	} else {
		s["type"] = []any{"object", "null"}
	}
	var both []any
	for i, a := range o.oneOf {
		for _, b := range o.oneOf[:i] {
			both = append(both, map[string]any{"not": map[string]any{"required": []any{b, a}}})
		}
	}
	if both != nil {
		s["allOf"] = both
	}
	return s
}

// list is a sequence of values of one sort.
type list struct {
	least, most int
	item        func() value
}

func (l *list) read(d *decoder, path string, n ast.Node) {
	var items []ast.Node
	switch n := n.(type) {
	case *ast.SequenceNode:
		items = n.Values
	case *ast.NullNode:
		if l.least == 0 {
			return
		}
	default:
		d.fail(n, path, "write each on a line of its own, behind '- '", "want a list, found %s", kindOf(n))
		return
	}
	if len(items) < l.least || len(items) > l.most {
		d.fail(n, path, fmt.Sprintf("want %d to %d", l.least, l.most), "%d entries", len(items))
		return
	}
	for i, item := range items {
		if d.full() {
			return
		}
		l.item().read(d, fmt.Sprintf("%s[%d]", path, i), item)
	}
}

func (l *list) schema() map[string]any {
	s := map[string]any{"type": "array", "items": l.item().schema(), "maxItems": l.most}
	if l.least > 0 {
		s["minItems"] = l.least
	} else {
		s["type"] = []any{"array", "null"}
	}
	return s
}

// named is a mapping whose keys the user chooses.
type named struct {
	most int
	item func(name string) value
}

// namePattern is what names may be: they are words of command lines, too.
const namePattern = "^[A-Za-z_][A-Za-z0-9_.-]{0,62}$"

func (m *named) read(d *decoder, path string, n ast.Node) {
	values, ok := d.mapping(path, n)
	if !ok {
		return
	}
	if len(values) > m.most {
		d.fail(n, path, fmt.Sprintf("want %d at most", m.most), "%d entries", len(values))
		return
	}
	for _, v := range values {
		name, ok := d.key(path, v)
		switch {
		case d.full():
			return
		case !ok:
		case !nameExpression.MatchString(name):
			d.fail(v.Key, path, "want up to 63 letters, digits, '_', '.' and '-', a letter first", "%q: not a name", name)
		default:
			m.item(name).read(d, join(path, name), v.Value)
		}
	}
}

func (m *named) schema() map[string]any {
	return map[string]any{
		"type": []any{"object", "null"}, "maxProperties": m.most, "additionalProperties": m.item("").schema(),
		"propertyNames": map[string]any{"pattern": namePattern},
	}
}

// text is a string.
type text struct {
	choices []string
	pattern string
	parse   func(string) error // a *wrong
	// exact tells that the schema's pattern or choices refuse all that parse does.
	exact bool
}

func (t *text) read(d *decoder, path string, n ast.Node) {
	s, ok := stringOf(n)
	if !ok {
		d.fail(n, path, t.wanted(n), "want text, found %s", kindOf(n))
		return
	}
	if t.choices != nil && !slices.Contains(t.choices, s) {
		remedy := "want one of " + strings.Join(t.choices, ", ")
		if near := spell.Nearest(s, t.choices); near != "" {
			remedy = "did you mean " + near + "?"
		}
		d.fail(n, path, remedy, "%q: no such value", s)
		return
	}
	if err := t.parse(s); err != nil {
		d.refuse(n, path, err, !t.exact)
	}
}

func (t *text) wanted(n ast.Node) string {
	if s, ok := n.(ast.ScalarNode); ok && n.Type() != ast.NullType {
		return fmt.Sprintf("put it in quotes: '%s'", s.GetToken().Value)
	}
	return "write it behind the colon"
}

func (t *text) schema() map[string]any {
	s := map[string]any{"type": "string"}
	if t.choices != nil {
		all := []any{}
		for _, c := range t.choices {
			all = append(all, c)
		}
		s["enum"] = all
	}
	if t.pattern != "" {
		s["pattern"] = t.pattern
	}
	return s
}

// number is a whole number.
type number struct {
	least, most uint64
	set         func(uint64)
}

func (m *number) read(d *decoder, path string, n ast.Node) {
	want := fmt.Sprintf("want a number from %d to %d", m.least, m.most)
	if m.least == m.most {
		want = fmt.Sprintf("want %d", m.least)
	}
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		d.fail(n, path, want, "want a number, found %s", kindOf(n))
		return
	}
	v, ok := wholeNumber(i)
	if !ok || v < m.least || v > m.most {
		d.fail(n, path, want, "%s: out of range", i.GetToken().Value)
		return
	}
	m.set(v)
}

func wholeNumber(n *ast.IntegerNode) (uint64, bool) {
	switch v := n.Value.(type) {
	case uint64:
		return v, true
	case int64:
		return uint64(v), v >= 0
	}
	return 0, false
}

func (m *number) schema() map[string]any {
	return map[string]any{"type": "integer", "minimum": m.least, "maximum": m.most}
}

// join adds a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
