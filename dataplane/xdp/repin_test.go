package xdp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"weft/dataplane/xdp"
)

// pinNames returns all that is pinned below a directory.
func pinNames(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			all = append(all, name)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all
}

// What others have unpinned is pinned again, where it was or in another place, and
// is given up, taken over and removed as if nothing had been.
func TestRepin(t *testing.T) {
	root := pinRoot(t)
	dir := filepath.Join(root, "engine")
	r := newRouter(t, xdp.Options{Ports: 16, Dir: dir})
	all := pinNames(t, dir)
	repin := func(dir string, want int) {
		t.Helper()
		missing, err := r.Repin(dir)
		if err != nil || len(missing) != want {
			t.Fatalf("pinned again: %v, %v; want %d of %d", missing, err, want, len(all))
		}
		if now := pinNames(t, dir); !slices.Equal(now, all) {
			t.Fatalf("pinned are %v, want %v", now, all)
		}
	}
	repin(dir, 0)
	for _, gone := range []int{1, len(all)} {
		for _, name := range all[:gone] {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		repin(dir, gone)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	repin(dir, len(all))

	byFile, err := os.Open(root) // the same place by another path
	if err != nil {
		t.Fatal(err)
	}
	defer byFile.Close()
	if err := os.Remove(filepath.Join(dir, all[0])); err != nil {
		t.Fatal(err)
	}
	repin(fmt.Sprintf("/proc/self/fd/%d/engine", byFile.Fd()), 1)
	repin(dir, 0)

	foreign := filepath.Join(root, "other", "foreign")
	if err := os.MkdirAll(filepath.Dir(foreign), 0o700); err != nil {
		t.Fatal(err)
	}
	repin(filepath.Join(root, "other", "engine"), len(all))
	if left := pinNames(t, dir); len(left) != 0 {
		t.Errorf("where they were, %v are left", left)
	}
	dir = filepath.Join(root, "other", "engine")
	if err := r.RemovePort(portOff); err != nil {
		t.Error(err)
	}
	if now := pinNames(t, dir); len(now) != len(all)-1 {
		t.Errorf("without a port pinned are %v", now)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	e, im, err := xdp.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if n := len(e.Ports()); n != 3 {
		t.Errorf("%d ports are taken over, want 3", n)
	}
	if err := e.Stop(); err != nil {
		t.Error(err)
	}
	if left := pinNames(t, root); len(left) != 0 {
		t.Errorf("after the end %v are left", left)
	}
	if missing, err := e.Repin(dir); err != nil || len(missing) != 0 || len(pinNames(t, root)) != 0 {
		t.Errorf("an engine that has ended pins %v, %v", missing, err)
	}
}
