package api

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// askKernel asks Linux for its route of a packet, and compares.
func askKernel(p *probe, reply *LookupReply) *KernelAnswer {
	k := &KernelAnswer{}
	routes, err := netlink.RouteGetWithOptions(net.IP(p.dst.AsSlice()), &netlink.RouteGetOptions{
		Iif: p.port.Name, SrcAddr: net.IP(p.src.AsSlice()),
	})
	errno := unix.Errno(0)
	switch {
	case errors.As(err, &errno):
		k.Error = errno.Error()
	case err != nil:
		k.Error = err.Error()
	case len(routes) > 0:
		r := &routes[0]
		k.Type = typeName(uint8(r.Type))
		if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			k.Dev = validUTF8(l.Attrs().Name)
		}
		switch {
		case r.Gw != nil:
			k.Gateway = r.Gw.String()
		case r.Via != nil:
			if via, ok := r.Via.(*netlink.Via); ok {
				k.Gateway = via.Addr.String()
			}
		}
	}
	k.Agrees, k.Why = compare(p, reply, k, errno)
	return k
}

// errors with which Linux answers for its routes that end a packet: fib_props in
// net/ipv4/fib_semantics.c, ip6_rt_type_to_error in net/ipv6/route.c.
var rejected = []unix.Errno{unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EACCES}

func compare(p *probe, reply *LookupReply, k *KernelAnswer, errno unix.Errno) (agrees bool, why string) {
	has := func(all ...unix.Errno) bool {
		for _, e := range all {
			if errno == e {
				return true
			}
		}
		return false
	}
	var reason dataplane.Reason
	if err := reason.UnmarshalText([]byte(reply.Reason)); err != nil {
		return false, err.Error()
	}
	switch reason {
	case dataplane.Forwarded:
		switch {
		case k.Error != "":
			return false, k.Error
		case k.Type != "unicast":
			return false, "a route of type " + k.Type
		}
		return sameHop(p, reply, k)
	case dataplane.Glean:
		return k.Type == "unicast" && k.Gateway == "" && k.Dev == reply.Dev, "it resolves the neighbor and forwards"
	case dataplane.LocalRoute:
		return k.Type == "local", "it takes the packet in"
	case dataplane.BlackholeRoute:
		return has(unix.EINVAL), "it discards the packet"
	case dataplane.RejectRoute:
		return has(rejected...), "it answers with an ICMP error"
	case dataplane.IPv4LPMMiss, dataplane.IPv6LPMMiss:
		return has(unix.ENETUNREACH, unix.EHOSTUNREACH), "it has no route"
	}
	if reason.Verdict() == dataplane.Drop {
		return true, "not asked: the packet ends before a route matters"
	}
	return true, "it finishes the packet"
}

// sameHop compares where both send the packet. The two choose among several
// members by hashes of their own.
func sameHop(p *probe, reply *LookupReply, k *KernelAnswer) (bool, string) {
	gateway := k.Gateway
	if gateway == "" { // attached: the destination itself
		gateway = p.dst.String()
	}
	if k.Dev == reply.Dev && gateway == reply.Gateway {
		return true, ""
	}
	there := fmt.Sprintf("via %s dev %s", gateway, k.Dev)
	if reply.Members > 1 && slices.ContainsFunc(reply.Candidates, func(r *Route) bool { return r.Selected && leadsTo(r, gateway, k.Dev) }) {
		return true, "by another of the route's next hops, " + there
	}
	return false, there
}

// leadsTo reports whether a route has a next hop. Of sources other than the kernel, what
// it comes to counts: the route may name gateways far away.
func leadsTo(r *Route, gateway, dev string) bool {
	hops := r.Nexthops
	if len(r.Resolved) > 0 {
		hops = r.Resolved
	}
	return slices.ContainsFunc(hops, func(h *NextHop) bool { return h.Dev == dev && h.Gateway == gateway })
}
