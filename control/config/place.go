package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Directories of what is kept. Named network namespaces end with the machine's
// run, and so does what is kept of them.
const (
	lasting = "/var/lib/weft"
	fading  = "/run/weft"
)

// File is the configuration file of the machine's own network namespace.
const File = "/etc/weft/weft.yaml"

// Place is where the configuration of a network namespace is kept.
type Place struct {
	Dir      string
	Identity string
	Own      bool // it is the one that the machine, or the container, starts with
}

// firstCookie is that of the network namespace that Linux starts with.
const firstCookie = 1

// Find returns the place of the calling thread's network namespace, whose inode
// netns is. Needs Linux 5.14 (SO_NETNS_COOKIE).
func Find(netns string) (Place, error) {
	cookie, err := cookie()
	if err != nil {
		return Place{}, fmt.Errorf("find the network namespace's cookie: %w", err)
	}
	var first, here unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &here); err != nil {
		return Place{}, fmt.Errorf("find network namespace: %w", err)
	}
	// Not all may look at process 1: then only the cookie tells.
	own := cookie == firstCookie || unix.Stat("/proc/1/ns/net", &first) == nil && first.Ino == here.Ino && first.Dev == here.Dev
	if cookie == firstCookie {
		return Place{filepath.Join(lasting, "machine"), "machine", own}, nil
	}
	// The inode's number is used again, the cookie is not while the machine runs.
	return Place{filepath.Join(fading, netns+".config"), fmt.Sprintf("%s %d", machine{}.Boot(), cookie), own}, nil
}

// Forget removes what is kept of a network namespace that is about to go.
func Forget(netns string) error { return os.RemoveAll(filepath.Join(fading, netns+".config")) }

func cookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	n, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return n, errors.Join(err, unix.Close(fd))
}
