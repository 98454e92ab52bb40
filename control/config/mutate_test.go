package config

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"weft/test/proof"
)

// odd is what is put in the place of something else.
var odd = []string{
	"", " ", "\t", ":", "- ", "[", "]", "{", "}", "'", `"`, "#", "&a ", "*a", "!!int ", "|", ">", "?", "%", "@", "~", "null", "true", "1", "-1", "0", "1.5",
	"4294967296", "99999999999999999999", "0x10", "1e3", ".inf", "10.0.0.0/8", "10.0.0.1", "10.0.0.0/99", "::/0", "fe80::1", "::", "0.0.0.0", "224.0.0.1",
	"2001:db8::/129", "eth0", "a/b", strings.Repeat("x", 300), "é", "\u202e", "\x00", "\xff", "\r", "\n", "\n\n---\n", "<<: *a", "blackhole", "core", "none",
	"02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "127.0.0.1:2620", "1h", "prefix", "via", "routes", "version", "weight: 2", "{a: b}", "[1, 2]", "\ufeff",
}

// mutate changes a file in one to three places.
func mutate(r *rand.Rand, text string) string {
	for range 1 + r.IntN(3) {
		lines := strings.SplitAfter(text, "\n")
		i := r.IntN(len(lines))
		switch r.IntN(9) {
		case 0:
			lines[i] = ""
		case 1:
			lines[i] += lines[i]
		case 2:
			j := r.IntN(len(lines))
			lines[i], lines[j] = lines[j], lines[i]
		case 3:
			lines[i] = strings.Repeat(" ", r.IntN(4)) + lines[i]
		case 4:
			lines[i] = strings.TrimPrefix(lines[i], "  ")
		case 5:
			lines[i] = changeLetter(r, lines[i])
		case 6, 7:
			lines[i] = changeWord(r, lines[i])
		case 8:
			lines = lines[:i+1]
		}
		text = strings.Join(lines, "")
	}
	return text
}

func changeLetter(r *rand.Rand, line string) string {
	if line == "" {
		return odd[r.IntN(len(odd))]
	}
	i := r.IntN(len(line))
	switch r.IntN(3) {
	case 0:
		return line[:i] + line[i+1:]
	case 1:
		return line[:i] + odd[r.IntN(len(odd))] + line[i:]
	}
	return line[:i] + string(rune(' '+r.IntN(95))) + line[i+1:]
}

// changeWord puts something odd in the place of a key or a value.
func changeWord(r *rand.Rand, line string) string {
	words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" ,{}[]\n", r) })
	if len(words) == 0 {
		return odd[r.IntN(len(odd))] + line
	}
	return strings.Replace(line, words[r.IntN(len(words))], odd[r.IntN(len(odd))], 1)
}

// TestMutations changes valid files: each is refused, with the place and what to
// do, or valid. The schema never refuses what the decoder takes, and refuses what
// the decoder does by what one value or one object shows.
func TestMutations(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	schema := compiledSchema(t)
	const mutations = 1500
	refused := 0
	for range mutations {
		text := mutate(r, whole)
		if !checkFile(t, schema, text) {
			refused++
		}
		if t.Failed() {
			return
		}
	}
	if refused < mutations/2 || refused > mutations*19/20 {
		t.Errorf("%d of %d mutations are refused: they are too wild or too tame", refused, mutations)
	}
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R12", What: "mutations of configuration files: refused with line and column, or valid", Count: mutations,
	})
}

// checkFile holds what is so for all files, and returns whether one is valid.
func checkFile(t *testing.T, schema *jsonschema.Schema, text string) bool {
	t.Helper()
	c, err := Parse("f", []byte(text))
	bySchema, decodable := schemaSays(schema, text)
	if err != nil {
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 || c != nil {
			t.Errorf("%q: %v", text, err)
		}
		for _, e := range all {
			checkPlace(t, text, e)
			if !e.beyond && decodable && bySchema == nil {
				t.Errorf("%q: the schema takes it, the decoder says %s", text, e)
			}
		}
		return false
	}
	if decodable && bySchema != nil {
		t.Errorf("%q: is taken, and the schema says %v", text, bySchema)
	}
	again, err := Parse("again", c.YAML())
	if err != nil || !reflect.DeepEqual(again, c) {
		t.Errorf("%q: written as\n%s\nreads as something else: %v", text, c.YAML(), err)
	}
	if p := Diff(c, again); len(p.Changes) != 0 {
		t.Errorf("%q: differs from itself: %v", text, p.Changes)
	}
	return true
}

func checkPlace(t *testing.T, text string, e *Error) {
	t.Helper()
	lines := strings.SplitAfter(text, "\n")
	if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len([]rune(lines[e.Line-1]))+1 || e.Cause == "" || e.Remedy == "" ||
		!strings.Contains(e.Excerpt, "^") {
		t.Errorf("%q: %+v", text, e)
	}
}

func compiledSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("weft.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("weft.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// schemaSays validates a file as an editor does; decodable is false if it is not
// one document of YAML.
func schemaSays(s *jsonschema.Schema, text string) (err error, decodable bool) {
	js, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, false
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(js))
	if err != nil {
		return nil, false
	}
	return s.Validate(doc), true
}

func FuzzParse(f *testing.F) {
	f.Add(whole)
	for _, m := range mistakes {
		f.Add(strings.Replace(m.text, "+", "version: 1\n", 1))
	}
	schema := compiledSchema(f)
	f.Fuzz(func(t *testing.T, text string) { checkFile(t, schema, text) })
}
