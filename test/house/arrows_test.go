package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// arrows says, for each room, which rooms of weft its packages may import. Tests
// beside the code are not bound: they import what they compare with.
var arrows = map[string][]string{
	"cmd":       {"bpf", "control", "dataplane", "fib", "test"},
	"control":   {"dataplane", "fib"},
	"dataplane": {"bpf", "dataplane", "fib"},
	"bpf":       {},
	"fib":       {},
	"test":      {"bpf", "control", "dataplane", "fib", "test"},
}

// reasons says why an arrow is missing.
var reasons = map[string]string{
	"cmd":       "nobody imports cmd: it is flags, wiring and printing",
	"test":      "only cmd sees topologies and traffic in namespaces, for weft lab: what forwards does not",
	"control":   "only cmd sees who decides: engines take what they are given",
	"dataplane": "the FIB and the BPF objects know nothing of engines",
	"bpf":       "the FIB's layout comes from bpf's headers, by generated code: there is nothing to import",
	"fib":       "BPF programs read the image, their loader does not need to know what is in it",
}

func room(path string) string {
	path, _, _ = strings.Cut(strings.TrimPrefix(path, "weft/"), "/")
	return path
}

// violation returns why one package may not import another, or "".
func violation(from, to string) string {
	if !strings.HasPrefix(to, "weft/") || room(from) == room(to) && room(from) != "dataplane" {
		return ""
	}
	for _, allowed := range arrows[room(from)] {
		if room(to) == allowed {
			return ""
		}
	}
	return reasons[room(to)]
}

func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "weft/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; packages++ {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if _, known := arrows[room(p.ImportPath)]; !known {
			t.Errorf("%s is in no room of the house: %s", p.ImportPath, room(p.ImportPath))
		}
		for _, to := range p.Imports {
			if why := violation(p.ImportPath, to); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, to, why)
			}
		}
	}
	if packages < 5 {
		t.Errorf("saw %d packages", packages)
	}
}

func TestViolation(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"weft/fib", "weft/bpf", false},
		{"weft/bpf", "weft/fib", false},
		{"weft/fib", "net/netip", true},
		{"weft/control/rib", "weft/fib", true},
		{"weft/dataplane/xdp", "weft/control", false},
		{"weft/dataplane/xdp", "weft/bpf", true},
		{"weft/control", "weft/cmd/weft", false},
		{"weft/fib", "weft/test/fulltable", false},
	} {
		if got := violation(c.from, c.to) == ""; got != c.ok {
			t.Errorf("%s imports %s: allowed %v, want %v", c.from, c.to, got, c.ok)
		}
	}
}
