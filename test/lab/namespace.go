package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// namespaceDir is where ip-netns(8) keeps names.
const namespaceDir = "/run/netns"

// onThread runs f on a thread of its own, in the network namespace of a path if there is one. The thread ends with it.
func onThread(path string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread does not end, and it is what /proc says of the process: hold it, take another.
			defer runtime.UnlockOSThread()
			done <- onThread(path, f)
			return
		}
		// Never unlocked: a thread in another namespace must not serve other goroutines.
		done <- func() error {
			if path == "" {
				return f()
			}
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("open network namespace %s: %w", path, err)
			}
			defer unix.Close(fd)
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter network namespace %s: %w", path, err)
			}
			return f()
		}()
	}()
	return <-done
}

// makeNamespace makes a network namespace with a name, as `ip netns add` does.
func makeNamespace(name string) error {
	if err := shareNamespaceDir(); err != nil {
		return err
	}
	path := filepath.Join(namespaceDir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("network namespace %s: %w already: remove it with 'ip netns del %s'", name, fs.ErrExist, name)
	}
	if err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	f.Close()
	err = onThread("", func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, "")
	})
	if err != nil {
		return errors.Join(fmt.Errorf("make network namespace %s: %w", name, err), os.Remove(path))
	}
	return nil
}

// shareNamespaceDir makes the directory of names a mount point that shares its mounts, as `ip netns add` does. If it
// were left to ip, names made before would be hidden under the mount and could not be removed.
func shareNamespaceDir() error {
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	share := func() error { return unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	err := share()
	if errors.Is(err, unix.EINVAL) { // no mount point yet
		if err = unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = share()
		}
	}
	if err != nil {
		return fmt.Errorf("share mounts of %s: %w", namespaceDir, err)
	}
	return nil
}

func removeNamespace(name string) error {
	path := filepath.Join(namespaceDir, name)
	// EINVAL: the name was made and the mount was not.
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	return nil
}

// Namespaces returns the names of the network namespaces of the lab with a prefix, in order.
func Namespaces(prefix string) ([]string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(namespaceDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var names []string
	for _, f := range files {
		// Names of nodes have no dash: those of lab weft-lab-2- are not of lab weft-lab-.
		if node, ours := strings.CutPrefix(f.Name(), prefix); ours && node != "" && !strings.Contains(node, "-") {
			names = append(names, f.Name())
		}
	}
	return names, nil
}

var prefixes = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}-$`)

// checkPrefix refuses prefixes that name more than a lab.
func checkPrefix(prefix string) error {
	if !prefixes.MatchString(prefix) {
		return fmt.Errorf("prefix %q: want lower case letters, digits and dashes, a dash last", prefix)
	}
	return nil
}

// identity tells network namespaces apart, also such that have no name any more.
type identity struct{ dev, ino uint64 }

// identities returns those of namespaces. One that is gone, or was not made, has none.
func identities(names []string) (all []identity, err error) {
	for _, name := range names {
		id, err := identify(filepath.Join(namespaceDir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("find network namespace %s: %w", name, err)
		}
		if err == nil {
			all = append(all, id)
		}
	}
	return all, nil
}

func identify(path string) (identity, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return identity{st.Dev, st.Ino}, err
}

// processes returns the ids of the processes in network namespaces.
func processes(in []identity) (pids []int, err error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("find processes: %w", err)
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		// A process that ended meanwhile has no namespace: that is no error.
		if id, err := identify(filepath.Join("/proc", d.Name(), "ns/net")); err == nil && slices.Contains(in, id) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}
