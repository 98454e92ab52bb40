package xdp

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// peer is the other end of a veth. Nothing of its network namespace is held: one
// that is removed takes the port with it.
type peer struct {
	ifindex int
	netns   netns
	name    string        // "" while the peer is not found
	sought  time.Time     // when it was looked for
	wait    time.Duration // until it is looked for again
	partial bool          // it leaves checksums to hardware
}

// netns is a network namespace by a file that stands for it; the zero value is the engine's.
type netns struct {
	path     string
	dev, ino uint64
}

// lookAtPeers finds out which veths' peers leave checksums to hardware, and tells
// the ports' entries: a peer that is not found counts as one that does. It costs some
// system calls a port, and a thread if some are in other network namespaces. The
// programs are to be made fit then.
func (e *Engine) lookAtPeers(now time.Time, ports ...*port) {
	for range 2 { // one that has moved is found again
		var far []*peer
		for _, p := range ports {
			q := p.peer
			if q.name == "" && now.Sub(q.sought) >= q.wait {
				*q = peer{sought: now, wait: min(max(2*q.wait, retryFirst), retryMost)}
				q.seek(p.Ifindex)
			}
			switch {
			case q.ifindex == 0:
			case q.netns.path == "":
				q.ask()
			default:
				far = append(far, q)
			}
		}
		if len(far) > 0 {
			askFar(far)
		}
	}
	for _, p := range ports {
		e.setPartial(p, p.peer.name == "" || p.peer.partial)
	}
}

func (e *Engine) setPartial(p *port, partial bool) {
	if p.Partial == partial {
		return
	}
	p.Partial = partial
	for _, q := range append(e.vlansBy(p), p) {
		if e.mem.ports.Port[q.Number].Number != 0 {
			e.mem.setPort(q.Number, e.entry(q))
		}
	}
}

// seek finds out where a veth's peer is. Its ifindex stays 0 when that is not to be found.
func (q *peer) seek(ifindex int) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return
	}
	a := l.Attrs()
	if a.NetNsID >= 0 {
		if q.netns = seekNetns(a.NetNsID); q.netns.path == "" {
			return
		}
	}
	q.ifindex = a.ParentIndex
}

// seekNetns looks for a network namespace that has an id in the engine's, among those
// with names and those of processes.
func seekNetns(id int) netns {
	named, _ := filepath.Glob("/run/netns/*")
	processes, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	seen := map[netns]bool{}
	for _, path := range append(named, processes...) {
		fd, n := openNetns(path)
		if fd < 0 {
			continue
		}
		got := -1
		if key := (netns{"", n.dev, n.ino}); !seen[key] {
			seen[key] = true
			if i, err := netlink.GetNetNsIdByFd(fd); err == nil {
				got = i
			}
		}
		unix.Close(fd)
		if got == id {
			return n
		}
	}
	return netns{}
}

// openNetns returns a negative file descriptor if there is none to be had: a process
// that has ended, or is not to be looked into.
func openNetns(path string) (fd int, n netns) {
	var st unix.Stat_t
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, n
	}
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, n
	}
	return fd, netns{path, st.Dev, st.Ino}
}

// askFar asks peers in other network namespaces.
func askFar(peers []*peer) {
	onThread(func() {
		for _, q := range peers {
			q.name = "" // of one that is gone
			if q.netns.enter() {
				q.ask()
			}
		}
	})
}

// enter takes the thread to a namespace, if the file still stands for it.
func (n netns) enter() bool {
	fd, now := openNetns(n.path)
	if fd < 0 {
		return false
	}
	defer unix.Close(fd)
	return now == n && unix.Setns(fd, unix.CLONE_NEWNET) == nil
}

// ask finds out a peer's name, and whether it leaves checksums to hardware, on a
// thread in its network namespace.
func (q *peer) ask() {
	name, value, ok := ethtool(q.ifindex, unix.ETHTOOL_GTXCSUM)
	if q.name = name; ok {
		q.wait, q.partial = 0, value != 0
	}
}

// ingressReason says why packets that could go by XDP come in by Linux.
func (p *port) ingressReason() string {
	switch {
	case !p.Partial:
		return ""
	case p.peer == nil || p.peer.name == "":
		return "its peer may leave checksums to hardware (its network namespace is not to be found, or not to be entered)"
	}
	return fmt.Sprintf("the host leaves checksums to hardware: 'ethtool -K %s tx off' in it makes them go by XDP", p.peer.name)
}

// portsWithPeers returns those for which it matters what their peers do.
func (e *Engine) portsWithPeers() (all []*port) {
	for _, p := range e.ports {
		if p.peer != nil {
			all = append(all, p)
		}
	}
	return all
}
