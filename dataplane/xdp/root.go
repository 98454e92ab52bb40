package xdp

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

const bpffs = "/sys/fs/bpf"

// Root opens the bpffs that outlives this process: the one at /sys/fs/bpf where
// process 1 lives, which is mounted if it is not. A process that `ip netns exec`
// started has a /sys of its own, and a bpffs mounted there would go with it.
// Paths below the returned one stay valid until the file is closed.
func Root() (string, *os.File, error) {
	f, err := openRoot()
	if err != nil {
		return "", nil, fmt.Errorf("open bpffs at %s: %w", bpffs, err)
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(f.Fd()))), f, nil
}

func openRoot() (f *os.File, err error) {
	mounts := rootMounts()
	if sameFile(mounts, "/proc/thread-self/ns/mnt") {
		return mountAndOpen()
	}
	onThread(func() { f, err = openIn(mounts) })
	return f, err
}

// rootMounts returns the path of the mount namespace of process 1. Where that one
// hides it, process 2 does: of a machine it is the kernel's own, and lives there
// too.
func rootMounts() string {
	for _, path := range []string{"/proc/1/ns/mnt", "/proc/2/ns/mnt"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return "/proc/thread-self/ns/mnt"
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// openIn changes the calling thread's mount namespace.
func openIn(path string) (*os.File, error) {
	ns, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	// Threads share their view of the file system, and such ones cannot change it.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("leave the shared view: %w", err)
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("enter mount namespace %s: %w", path, err)
	}
	return mountAndOpen()
}

func mountAndOpen() (*os.File, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(bpffs, &st); err != nil {
		return nil, fmt.Errorf("%w: is this kernel built with BPF, and /sys mounted?", err)
	}
	if st.Type != unix.BPF_FS_MAGIC {
		if err := unix.Mount("bpf", bpffs, "bpf", 0, "mode=0700"); err != nil {
			return nil, fmt.Errorf("mount: %w: try 'mount -t bpf bpf %s'", err, bpffs)
		}
	}
	fd, err := unix.Open(bpffs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), bpffs), nil
}
