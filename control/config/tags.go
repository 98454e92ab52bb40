package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// described makes the description of a struct out of its tags, for parts of the file
// with many fields whose keys are what they are written by:
//
//	json:"key"    the key, in the file as on the disk
//	help:"..."    what it is
//	need:"yes"    it must be there
//	range:"1 9"   of a number
//	of:"a b c"    words that it may be
//	as:"name"     how text is checked: see checks
//
// check is called with the whole struct, when its parts are right; may be nil.
func described(v reflect.Value, title string, check func(found, any)) *object {
	o := &object{title: title}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		o.fields = append(o.fields, field{key, f.Tag.Get("help"), f.Tag.Get("need") != "", valueOf(v.Field(i), f.Tag, check)})
	}
	o.check = func(f found) {
		if check != nil {
			check(f, v.Addr().Interface())
		}
	}
	return o
}

// valueOf is what may stand at the place of a field.
func valueOf(v reflect.Value, tag reflect.StructTag, check func(found, any)) value {
	switch to := v.Addr().Interface().(type) {
	case *netip.Addr:
		return &text{parse: func(s string) (err error) {
			*to, err = addrChecks[tag.Get("as")](s)
			return err
		}}
	case *netip.Prefix:
		return &text{parse: func(s string) (err error) {
			*to, err = parsePrefix(s)
			return err
		}}
	case *time.Duration:
		return &text{parse: func(s string) (err error) {
			*to, err = parseDuration(s, tag.Get("range"))
			return err
		}}
	case *RemoteAS:
		return &scalar{parse: to.parse}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return &made{v, tag, check}
	case reflect.Struct:
		return described(v, strings.TrimSuffix(tag.Get("help"), "."), check)
	case reflect.Slice:
		return &list{0, maxKeys, func() value { return &appended{v, tag, check} }}
	case reflect.Bool:
		return &truth{v.SetBool}
	case reflect.String:
		return textOf(v, tag)
	}
	least, most := uint64(0), uint64(0)
	if _, err := fmt.Sscan(tag.Get("range"), &least, &most); err != nil {
		panic(err) // a tag is wrong
	}
	return &number{least, most, v.SetUint}
}

func textOf(v reflect.Value, tag reflect.StructTag) value {
	set := func(s string) error {
		v.SetString(s)
		return nil
	}
	if words := tag.Get("of"); words != "" {
		return &text{choices: strings.Fields(words), parse: set}
	}
	check := textChecks[tag.Get("as")]
	parse := func(s string) error {
		if check != nil {
			if err := check(s); err != nil {
				return err
			}
		}
		return set(s)
	}
	if tag.Get("as") == "med" || tag.Get("as") == "prepend" {
		return &scalar{parse: parse}
	}
	return &text{parse: parse}
}

// made is a value that is made when it is there.
type made struct {
	to    reflect.Value
	tag   reflect.StructTag
	check func(found, any)
}

func (m *made) value() (value, reflect.Value) {
	v := reflect.New(m.to.Type().Elem())
	preset(v)
	return valueOf(v.Elem(), m.tag, m.check), v
}

func (m *made) read(d *decoder, path string, n ast.Node) {
	val, v := m.value()
	val.read(d, path, n)
	m.to.Set(v)
}

func (m *made) schema() map[string]any {
	val, _ := m.value()
	return val.schema()
}

// appended is an entry of a list.
type appended made

func (a *appended) value() (value, reflect.Value) {
	v := reflect.New(a.to.Type().Elem())
	preset(v)
	return valueOf(v.Elem(), a.tag, a.check), v
}

func (a *appended) read(d *decoder, path string, n ast.Node) {
	val, v := a.value()
	val.read(d, path, n)
	a.to.Set(reflect.Append(a.to, v.Elem()))
}

func (a *appended) schema() map[string]any {
	val, _ := a.value()
	return val.schema()
}

// preset gives a struct what the file need not say.
func preset(v reflect.Value) {
	if p, ok := v.Interface().(interface{ preset() }); ok {
		p.preset()
	}
}

// truth is true or false.
type truth struct{ set func(bool) }

func (t *truth) read(d *decoder, path string, n ast.Node) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		d.fail(n, path, "want true or false", "want a truth value, found %s", kindOf(n))
		return
	}
	t.set(b.Value)
}

func (t *truth) schema() map[string]any { return map[string]any{"type": "boolean"} }

// scalar is a whole number, or text.
type scalar struct{ parse func(string) error }

func (s *scalar) read(d *decoder, path string, n ast.Node) {
	var text string
	switch n := n.(type) {
	case *ast.IntegerNode:
		text = fmt.Sprint(n.Value)
	default:
		var ok bool
		if text, ok = stringOf(n); !ok {
			d.fail(n, path, "put it in quotes", "want a number or a word, found %s", kindOf(n))
			return
		}
	}
	if err := s.parse(text); err != nil {
		d.refuse(n, path, err, true)
	}
}

func (s *scalar) schema() map[string]any { return map[string]any{"type": []any{"integer", "string"}} }
