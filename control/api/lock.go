package api

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse: another daemon is there.
var ErrInUse = errors.New("in use")

// LockPath returns the path of the file that the daemon of a namespace holds
// locked.
func LockPath(netns string) string { return filepath.Join(Directory, netns+".lock") }

const (
	lockTries = 10
	lockPause = 20 * time.Millisecond
)

// Lock makes the caller the only daemon of a network namespace, until Unlock or
// the end of the process.
//
// Errors: ErrInUse, with the process that has it.
func Lock(netns string) (*os.File, error) {
	path := LockPath(netns)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock network namespace: %w", err)
	}
	for try := 1; ; try++ {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		made := err == nil
		if errors.Is(err, fs.ErrExist) {
			f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		}
		if err != nil {
			return nil, fmt.Errorf("lock network namespace: %w", err)
		}
		// gofail: var lockOpened struct{}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
				if made {
					os.Remove(path)
				}
				return nil, fmt.Errorf("lock %s: %w", path, err)
			}
			if try < lockTries { // somebody may only look (IsLocked), or be about to end
				time.Sleep(lockPause)
				continue
			}
			return nil, fmt.Errorf("network namespace %s is %w by %s", netns, ErrInUse, Holder(netns))
		}
		if !isAt(f, path) { // the one who had it has removed it meanwhile
			f.Close()
			continue
		}
		// gofail: var lockTaken struct{}
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("write lock: %w", err), Unlock(f))
		}
		return f, nil
	}
}

// Unlock ends what Lock began.
func Unlock(f *os.File) error {
	// gofail: var lockRelease struct{}
	return errors.Join(os.Remove(f.Name()), f.Close())
}

// IsLocked reports whether a daemon of a network namespace runs.
func IsLocked(netns string) bool {
	f, err := os.Open(LockPath(netns))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

func isAt(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

// Holder describes the daemon of a network namespace: its process.
func Holder(netns string) string {
	text, _ := os.ReadFile(LockPath(netns))
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return "another daemon, which is starting"
	}
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	args := strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " "))
	return fmt.Sprintf("process %d (%s)", pid, args)
}
