package upgrade

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
)

// fixture is what a daemon had pinned when it was killed, as files.
type fixture struct {
	Format int             `json:"format"` // of the pins
	Commit string          `json:"commit"` // of the code that wrote it
	CPUs   int             `json:"cpus"`   // possible ones, of the machine that it was made on
	Ifaces map[string]int  `json:"interfaces"`
	Maps   []pinnedMap     `json:"maps"`
	Links  []pinnedLink    `json:"links"`
	Leads  []pinnedSymlink `json:"symlinks,omitempty"`
}

// A Pin is the path of a pin in the directory of pins.
type (
	pinnedMap struct {
		Pin     string       `json:"pin"`
		Name    string       `json:"name"`
		Type    ebpf.MapType `json:"type"`
		Key     uint32       `json:"key_size"`
		Value   uint32       `json:"value_size"`
		Entries uint32       `json:"max_entries"`
		Flags   uint32       `json:"flags"`

		entries []byte // key, value; key, value; ...
	}
	pinnedLink struct {
		Pin     string `json:"pin"`
		Type    string `json:"type"`
		Ifindex int    `json:"ifindex,omitempty"`
		Program string `json:"program"`
	}
	pinnedSymlink struct {
		Pin    string `json:"pin"`
		Target string `json:"target"`
	}
)

// object is the file that a fixture has a BPF object in.
func object(name string) string { return name + ".o.gz" }

func (m *pinnedMap) file() string { return "map-" + filepath.Base(m.Pin) + ".gz" }

// save writes a fixture to a directory.
func (f *fixture) save(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pins.json"), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range f.Maps {
		squeeze(t, filepath.Join(dir, f.Maps[i].file()), f.Maps[i].entries)
	}
}

// load reads what save wrote.
func load(t testing.TB, dir string) *fixture {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pins.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := new(fixture)
	if err := json.Unmarshal(text, f); err != nil {
		t.Fatal(err)
	}
	for i := range f.Maps {
		f.Maps[i].entries = expand(t, filepath.Join(dir, f.Maps[i].file()))
	}
	return f
}

func squeeze(t testing.TB, path string, content []byte) {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func expand(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// entriesOf reads a map.
func entriesOf(t testing.TB, m *ebpf.Map) []byte {
	t.Helper()
	var all []byte
	key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	for entries := m.Iterate(); entries.Next(&key, &value); {
		all = append(append(all, key...), value...)
	}
	return all
}

func mustClose(t testing.TB, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
