package xdp_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane/xdp"
)

func names(t testing.TB, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// elsewhere makes an engine with a port in a network namespace that is gone when
// it returns, and with it the interface.
func elsewhere(t *testing.T, dir string) {
	t.Helper()
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and the namespace
		failed <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			mem, _ := newImage(t, 1<<20)
			e, err := xdp.New(mem, xdp.Options{Dir: dir})
			if err != nil {
				return err
			}
			p, _ := veth(t, "port", "peer")
			return errors.Join(e.SetPort(port(1, p, 0, true)), e.Close())
		}()
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func TestRemoveStale(t *testing.T) {
	requireRoot(t)
	root := pinRoot(t)
	elsewhere(t, filepath.Join(root, "100")) // its namespace goes
	live := newRouter(t, xdp.Options{Dir: filepath.Join(root, "101")})
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"102_part", "103_part", "104", "mine", "mine_part"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	inUse := func(netns string) bool { return netns == "103" }
	// The kernel takes namespaces apart on its own time.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err := xdp.RemoveStale(root, inUse); err != nil {
			t.Fatal(err)
		}
		left := names(t, root)
		if slices.Equal(left, []string{"101", "103_part", "mine", "mine_part"}) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %v; want those that forward or are in use", left)
		}
	}
	e, im, err := xdp.Open(filepath.Join(root, "101"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(e.Ports()); n != 4 {
		t.Errorf("%d ports, want 4", n)
	}
	if err := errors.Join(e.Stop(), im.Close()); err != nil {
		t.Error(err)
	}
	if err := xdp.RemoveStale(filepath.Join(root, "none"), inUse); err != nil {
		t.Errorf("a root that is not there: %v", err)
	}
}

// A directory that is used is left alone, whatever is in it.
func TestRemoveStaleAsksFirst(t *testing.T) {
	requireRoot(t)
	root := pinRoot(t)
	elsewhere(t, filepath.Join(root, "100"))
	var asked []string
	for range 3 {
		if err := xdp.RemoveStale(root, func(netns string) bool { asked = append(asked, netns); return true }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !slices.Equal(asked, []string{"100", "100", "100"}) || len(names(t, root)) != 1 {
		t.Errorf("asked for %v, left %v", asked, names(t, root))
	}
}

func TestRemove(t *testing.T) {
	root := pinRoot(t)
	dir := filepath.Join(root, "engine")
	r := newRouter(t, xdp.Options{Dir: dir})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if !attached(t, "in") {
		t.Fatal("the port has no program")
	}
	if err := xdp.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); attached(t, "in"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the port has its program still")
		}
	}
	if _, _, err := xdp.Open(dir); !errors.Is(err, xdp.ErrNotFound) {
		t.Errorf("Open: %v", err)
	}
	if err := xdp.Remove(dir); !errors.Is(err, xdp.ErrNotFound) {
		t.Errorf("Remove again: %v", err)
	}
	if err := os.Mkdir(dir+"_part", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := xdp.Remove(dir); err != nil {
		t.Errorf("Remove of what is not complete: %v", err)
	}
	if left := names(t, root); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func attached(t testing.TB, name string) bool {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Xdp != nil && l.Attrs().Xdp.Attached
}
