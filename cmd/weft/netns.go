package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// netnsPath returns the file of the network namespace of -n, which is a name or
// a path, as with ip.
func (e *env) netnsPath() string {
	if strings.Contains(e.netns, "/") {
		return e.netns
	}
	return filepath.Join(e.netnsDir, e.netns)
}

// inode returns the number of the network namespace that a file stands for.
func inode(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", netnsFailure(path, err)
	}
	return strconv.FormatUint(st.Ino, 10), nil
}

func netnsFailure(path string, err error) error {
	what := fmt.Sprintf("network namespace %s: %v", filepath.Base(path), err)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fail(codeNotFound, what, "'ip netns list' shows those that there are")
	case errors.Is(err, os.ErrPermission):
		return fail(codePermission, what, "try 'sudo weft'")
	}
	return fail(codeFailed, what, "")
}

// enteredVariable says to the process that begins again that it has: once is
// enough.
const enteredVariable = "WEFT_NETNS_ENTERED"

// enterNetns makes the process begin again in a network namespace. All threads
// are in it then. Mounts stay as they are, unlike with 'ip netns exec': pins go
// to the bpffs that is there.
func enterNetns(path string) error {
	target, err := inode(path)
	if err != nil {
		return err
	}
	own, err := inode("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	if own == target {
		return os.Unsetenv(enteredVariable) // not for children
	}
	if os.Getenv(enteredVariable) == target {
		return fail(codeFailed, "network namespace "+path+": entered it, and am not in it", "")
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return netnsFailure(path, err)
	}
	defer unix.Close(fd)
	runtime.LockOSThread() // exec keeps the namespace of the thread that calls it
	defer runtime.UnlockOSThread()
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return netnsFailure(path, err)
	}
	return fmt.Errorf("begin again in network namespace %s: %w", path,
		syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), enteredVariable+"="+target)))
}
