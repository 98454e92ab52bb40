package soft

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	rtnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane/packet"
)

// follower hears of changes of links and addresses, which ICMP errors are made from.
type follower struct {
	conn    *rtnetlink.Conn
	changed chan struct{} // has an element when something has; closed when nothing is heard any more
}

func newFollower() (*follower, error) {
	c, err := rtnetlink.Dial(unix.NETLINK_ROUTE, &rtnetlink.Config{Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR})
	if err != nil {
		return nil, fmt.Errorf("follow links and addresses: %w", err)
	}
	f := &follower{c, make(chan struct{}, 1)}
	go f.run()
	return f, nil
}

func (f *follower) run() {
	defer close(f.changed)
	for {
		// What was overrun is a change, too.
		if _, err := f.conn.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
}

// readInterfaces asks the kernel for all interfaces and their addresses, in its order.
func readInterfaces() ([]Interface, []int, error) {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, nil, fmt.Errorf("list links: %w", err)
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, nil, fmt.Errorf("list addresses: %w", err)
	}
	all, indexes := make([]Interface, len(links)), make([]int, len(links))
	at := map[int]int{}
	for i, l := range links {
		all[i].MTU, indexes[i], at[l.Attrs().Index] = l.Attrs().MTU, l.Attrs().Index, i
	}
	for _, a := range addresses {
		i, known := at[a.LinkIndex]
		p, ok := prefixOf(a.IPNet)
		if known && ok && a.Scope != unix.RT_SCOPE_HOST {
			all[i].Addresses = append(all[i].Addresses, p)
		}
	}
	return all, indexes, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), ones), ok
}

// readLimits reads Linux's limits of ICMP errors: what is not there is as Linux begins with.
func readLimits() packet.Limits {
	l := packet.DefaultLimits
	number := func(name string, to func(n uint64)) {
		if text, err := os.ReadFile("/proc/sys/net/" + name); err == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
				to(n)
			}
		}
	}
	ms := func(to *time.Duration) func(uint64) {
		return func(n uint64) { *to = time.Duration(n) * time.Millisecond }
	}
	number("ipv4/icmp_msgs_per_sec", func(n uint64) { l.PerSecond = int(n) })
	number("ipv4/icmp_msgs_burst", func(n uint64) { l.Burst = int(n) })
	number("ipv4/icmp_ratelimit", ms(&l.Interval4))
	number("ipv4/icmp_ratemask", func(n uint64) { l.Mask4 = n })
	number("ipv6/icmp/ratelimit", ms(&l.Interval6))
	if routeErrorsAreFree() {
		l.ErrorCost = 0
	}
	return l
}

// routeErrorsAreFree tells whether net.ipv4.route.error_cost is 0. It is one for the whole machine, in jiffies, and seen
// in its first network namespace only.
func routeErrorsAreFree() (free bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return
		}
		defer own.Close()
		first, err := os.Open("/proc/1/ns/net")
		if err != nil {
			return
		}
		defer first.Close()
		if unix.Setns(int(first.Fd()), unix.CLONE_NEWNET) != nil {
			return
		}
		text, err := os.ReadFile("/proc/sys/net/ipv4/route/error_cost")
		free = err == nil && strings.TrimSpace(string(text)) == "0"
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread() // else the thread ends with the goroutine
		}
	}()
	<-done
	return free
}
