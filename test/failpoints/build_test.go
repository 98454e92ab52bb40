package failpoints

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"weft/test/star"
)

func TestMain(m *testing.M) {
	if program := os.Getenv(launching); program != "" {
		fmt.Fprintln(os.Stderr, launch(program)) // it returns only with an error
		os.Exit(1)
	}
	star.Main(m)
}

// module is the root of weft's module.
const module = "../.."

var marker = regexp.MustCompile(`(?m)^\s*// gofail: var (\w+) struct\{\}$`)

// program builds the program with its failpoints, once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp(filepath.Dir(star.Weft), "failpoints-")
	if err != nil {
		return "", err
	}
	tree := filepath.Join(dir, "tree")
	rooms, _, err := copyTree(tree)
	if err != nil {
		return "", err
	}
	enable := exec.Command("go", append([]string{"tool", "gofail", "enable"}, rooms...)...)
	enable.Dir = module
	if out, err := enable.CombinedOutput(); err != nil {
		return "", fmt.Errorf("enable failpoints: %w\n%s", err, out)
	}
	weft := filepath.Join(dir, "weft")
	build := exec.Command("go", "build", "-o", weft, "./cmd/weft")
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build weft with failpoints: %w\n%s", err, out)
	}
	return weft, nil
})

// copyTree copies what the program is built from. It returns the directories that
// have failpoints, and these.
func copyTree(to string) (rooms, points []string, err error) {
	err = filepath.WalkDir(module, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(module, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel != "." && strings.HasPrefix(d.Name(), ".") || rel == "build" {
				return fs.SkipDir
			}
			return nil
		}
		source := filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go")
		if !source && !slices.Contains([]string{".o", ".s", ".mod", ".sum", ".gz", ".html"}, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir := filepath.Join(to, filepath.Dir(rel))
		if found := marker.FindAllSubmatch(text, -1); source && len(found) > 0 {
			rooms = append(rooms, dir)
			for _, f := range found {
				points = append(points, string(f[1]))
			}
		}
		if to == "" {
			return nil
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o644)
	})
	slices.Sort(rooms)
	return slices.Compact(rooms), points, err
}

// Each failpoint of the source has a line in stops that says how it is reached, and
// the reverse.
func TestEveryFailpointIsReached(t *testing.T) {
	_, points, err := copyTree("")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, s := range stops {
		named = append(named, s.points...)
	}
	slices.Sort(points)
	slices.Sort(named)
	if len(slices.Compact(slices.Clone(points))) != len(points) {
		t.Error("two failpoints have one name")
	}
	for _, p := range points {
		if !slices.Contains(named, p) {
			t.Errorf("no test reaches failpoint %s: give it a line in stops", p)
		}
	}
	for _, p := range named {
		if !slices.Contains(points, p) {
			t.Errorf("there is no failpoint %s in the source", p)
		}
	}
	if len(points) < 50 {
		t.Errorf("%d failpoints, want 50 at least", len(points))
	}
}
