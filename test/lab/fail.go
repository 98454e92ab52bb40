package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Kill ends a node as a power cut does: its links go down and its processes are killed. What they have left in the
// kernel stays.
//
// Errors: ErrNode.
func (l *Lab) Kill(node string) error {
	err := l.In(node, func() error { return l.eachEnd(node, netlink.LinkSetDown) })
	if err == nil {
		err = KillProcesses(l.Namespace(node))
	}
	if err != nil {
		return fmt.Errorf("kill %s: %w", node, err)
	}
	return nil
}

// Connect sets the links of a node up again that Kill has set down. Its daemons are the caller's to start.
//
// Errors: ErrNode.
func (l *Lab) Connect(node string) error {
	err := l.In(node, func() error {
		if err := l.eachEnd(node, netlink.LinkSetUp); err != nil {
			return err
		}
		return l.addRoutes(node) // the kernel has removed them with the links
	})
	if err != nil {
		return fmt.Errorf("connect %s: %w", node, err)
	}
	return nil
}

// eachEnd changes a node's links, one right after the other. It works on the calling thread's namespace, which is the
// node's.
func (l *Lab) eachEnd(node string, change func(netlink.Link) error) error {
	var ends []netlink.Link
	for _, n := range l.neighbors(node) {
		link, err := netlink.LinkByName(n.dev)
		if err != nil {
			return fmt.Errorf("find %s: %w", n.dev, err)
		}
		ends = append(ends, link)
	}
	for _, link := range ends {
		if err := change(link); err != nil {
			return fmt.Errorf("change %s: %w", link.Attrs().Name, err)
		}
	}
	return nil
}

// KillProcesses kills what runs in a network namespace and returns when it is gone.
func KillProcesses(namespace string) error {
	in, err := identities([]string{namespace})
	if err != nil {
		return err
	}
	return endProcesses(in, step{unix.SIGKILL, burial})
}

func (l *Lab) addRoutes(node string) error {
	for _, r := range l.Routes {
		if r.Node != node {
			continue
		}
		if err := addRoute(r); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}
