package xdp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/link"
)

// Remove removes what is pinned in dir, whichever version of weft pinned it:
// ports go back to Linux with their pins, when no process holds them.
//
// Errors: ErrNotFound.
func Remove(dir string) error {
	_, whole := os.Stat(dir)
	_, part := os.Stat(dir + partSuffix)
	if whole != nil && part != nil {
		return fmt.Errorf("remove pins in %s: %w", dir, ErrNotFound)
	}
	if err := (pins{dir: dir}).remove(); err != nil {
		return fmt.Errorf("remove pins in %s: %w", dir, err)
	}
	return nil
}

// RemoveStale removes, of the directories in root, those of network namespaces
// that are gone: nobody uses them, and no port of theirs has an interface any
// more. inUse tells whether a daemon has a directory, by its name. What is not
// named after a namespace is somebody else's.
func RemoveStale(root string, inUse func(netns string) bool) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for old pins: %w", err)
	}
	var errs []error
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		netns, part := strings.CutSuffix(e.Name(), partSuffix)
		if _, err := strconv.ParseUint(netns, 10, 64); err != nil {
			continue
		}
		if !inUse(netns) && (part || (pins{dir: dir}).stale()) {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

// stale reports whether no pinned link leads to an interface.
func (p pins) stale() bool {
	links, err := p.links()
	if err != nil {
		return false // of a later version, say
	}
	stale := true
	for _, l := range links {
		if ifindex, err := attachedTo(l); err != nil || ifindex != 0 {
			stale = false
		}
		l.Close()
	}
	return stale
}

// attachedTo returns the interface that a link is of: 0 when it is gone.
func attachedTo(l link.Link) (ifindex int, err error) {
	info, err := l.Info()
	if err != nil {
		return 0, err
	}
	if x := info.XDP(); x != nil {
		return int(x.Ifindex), nil
	}
	if x := info.TCX(); x != nil {
		return int(x.Ifindex), nil
	}
	return 0, fmt.Errorf("%w: link is neither of XDP nor of tc", ErrForeignPin)
}
