package xdp_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"weft/dataplane/xdp"
)

// inPrivateMounts calls fn as `ip netns exec` would start a process: in a mount
// namespace of its own, with a /sys of its own, in which there is no bpffs.
func inPrivateMounts(t *testing.T, fn func() error) {
	t.Helper()
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and the namespace
		failed <- func() error {
			for _, step := range []func() error{
				func() error { return unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWNET) },
				func() error { return unix.Mount("", "/", "none", unix.MS_SLAVE|unix.MS_REC, "") },
				func() error { return unix.Unmount("/sys", unix.MNT_DETACH) },
				func() error { return unix.Mount("sysfs", "/sys", "sysfs", 0, "") },
			} {
				if err := step(); err != nil {
					return err
				}
			}
			return fn()
		}()
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func TestRootOutlivesMounts(t *testing.T) {
	requireRoot(t)
	outside, f, err := xdp.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := filepath.Join(outside, filepath.Base(pinRoot(t)))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	inPrivateMounts(t, func() error {
		if _, err := os.Stat("/sys/fs/bpf/" + filepath.Base(dir)); err == nil {
			t.Error("/sys is not one of its own")
		}
		root, f, err := xdp.Root()
		if err != nil {
			return err
		}
		defer f.Close()
		return os.Mkdir(filepath.Join(root, filepath.Base(dir)), 0o700)
	})
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatalf("what was made inside is not outside: %v", err)
	}
	if st.Type != unix.BPF_FS_MAGIC {
		t.Errorf("file system of type %#x, want a bpffs", st.Type)
	}
}

// Engines work through the path that Root returns.
func TestEngineOnRoot(t *testing.T) {
	requireRoot(t)
	root, f, err := xdp.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := filepath.Join(root, filepath.Base(pinRoot(t)), "engine")
	r := newRouter(t, xdp.Options{Dir: dir})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	e, im, err := xdp.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if n := len(e.Ports()); n != 4 {
		t.Errorf("%d ports, want 4", n)
	}
	if err := e.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("pins are left")
	}
}
