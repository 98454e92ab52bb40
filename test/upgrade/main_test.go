package upgrade

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"weft/dataplane/xdp"
	"weft/test/star"
)

func TestMain(m *testing.M) { star.Main(m) }

// edits make code of the next format out of today's: what it pins has other sizes,
// names and versions, and none of it can be read by the other code.
var edits = []struct{ file, old, new string }{
	{"dataplane/xdp/format.go", fmt.Sprintf("const Format = %d\n", xdp.Format), fmt.Sprintf("const Format = %d\n", xdp.Format+1)},
	{"dataplane/xdp/memory.go", "const beforeRows = 1\n", "const beforeRows = 4\n"},
	{"dataplane/xdp/engine.go", "defaultPorts  = 256\n", "defaultPorts  = 300\n"},
	{"dataplane/xdp/engine.go", "defaultTrunks = 32\n", "defaultTrunks = 40\n"},
	{"dataplane/xdp/pins.go", "= \"image\"\n", "= \"fib\"\n"},
	{"dataplane/xdp/pins.go", "\"vlans\": &s.VLANs", "\"trunks\": &s.VLANs"},
	{"fib/layout.go", "uint32(layoutFibImageFIB_VERSION)\n", "uint32(layoutFibImageFIB_VERSION) + 1\n"},
}

// nextWeft returns the path of a program of the next format. It is gone with dir,
// that of the program under test.
var nextWeft = sync.OnceValues(func() (string, error) {
	dir := filepath.Dir(star.Weft)
	replaced := map[string]string{}
	for _, e := range edits {
		file, err := filepath.Abs(filepath.Join("../..", e.file))
		if err != nil {
			return "", err
		}
		from := file
		if replaced[file] != "" {
			from = replaced[file]
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if strings.Count(string(text), e.old) != 1 {
			return "", fmt.Errorf("%s: want %q once", e.file, e.old)
		}
		if replaced[file] == "" {
			replaced[file] = filepath.Join(dir, strconv.Itoa(len(replaced))+".go")
		}
		if err := os.WriteFile(replaced[file], []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o644); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	file, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "next", "weft")
	if err := os.WriteFile(file, overlay, 0o644); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-overlay", file, "-o", program, "weft/cmd/weft").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the next format's weft: %w\n%s", err, out)
	}
	return program, nil
})

// programs are today's and the next format's, by format.
func programs(t testing.TB) map[int]string {
	t.Helper()
	next, err := nextWeft()
	if err != nil {
		t.Fatal(err)
	}
	today := star.Weft
	t.Cleanup(func() { star.Weft = today })
	return map[int]string{xdp.Format: today, xdp.Format + 1: next}
}
