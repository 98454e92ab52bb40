package kernel

import (
	"errors"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

// fuzz feeds a decoder with what seeds become, each whole and cut off anywhere. A decoder does not panic; its errors are
// ours; what it says does not depend on the message before; and check has nothing to add.
func fuzz[T any, D interface {
	*T
	Decode([]byte) error
}](f *testing.F, seeds []message, check func(got *T, size int) bool) {
	var used T
	for _, s := range seeds {
		if err := D(&used).Decode(s); err != nil {
			f.Fatalf("seed %x: %v", s, err)
		}
		f.Add([]byte(s))
		f.Add([]byte(s[:len(s)-1]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var fresh, again T
		if err := D(&again).Decode(seeds[len(seeds)-1]); err != nil {
			t.Fatal(err)
		}
		err, errAgain := D(&fresh).Decode(b), D(&again).Decode(b)
		if (err == nil) != (errAgain == nil) || err == nil && !equal(fresh, again) {
			t.Errorf("%x: %+v, %v; behind another message %+v, %v", b, fresh, err, again, errAgain)
		}
		if err != nil && !errors.Is(err, ErrMessage) && !errors.Is(err, ErrForeign) {
			t.Error(err)
		}
		if err == nil && !check(&fresh, len(b)) {
			t.Errorf("%x: %+v", b, fresh)
		}
		for n := range b {
			if err := D(&again).Decode(b[:n]); err != nil && !errors.Is(err, ErrMessage) && !errors.Is(err, ErrForeign) {
				t.Error(err)
			}
		}
	})
}

// equal compares decoded messages. No hops and none at all are the same.
func equal(a, b any) bool {
	r, isRoute := a.(Route)
	if !isRoute {
		return reflect.DeepEqual(a, b)
	}
	o := b.(Route)
	if len(r.Hops) == 0 && len(o.Hops) == 0 {
		r.Hops, o.Hops = nil, nil
	}
	return reflect.DeepEqual(r, o)
}

func isLink(n int) bool { return n > 0 && n < 1<<31 }

// isHop reports whether a router can make something of a hop; its link may be left out.
func isHop(h *Hop) bool { return (h.Link == 0 || isLink(h.Link)) && h.Weight >= 1 && h.Weight <= 256 }

func FuzzRoute(f *testing.F) {
	var seeds []message
	for _, c := range routes {
		seeds = append(seeds, c.in)
	}
	fuzz(f, seeds, func(r *Route, size int) bool {
		for i := range r.Hops {
			if !isHop(&r.Hops[i]) {
				return false
			}
		}
		return r.Prefix.IsValid() && r.Prefix == r.Prefix.Masked() && (r.NextHop == 0 || len(r.Hops) == 0) &&
			len(r.Hops)*unix.SizeofRtNexthop <= size
	})
}

func FuzzNextHop(f *testing.F) {
	fuzz(f, []message{
		message{2, 0, 0, 0, 0, 0, 0, 0}.num(unix.NHA_ID, 7).num(unix.NHA_OIF, 3).addr(unix.NHA_GATEWAY, "192.0.2.1"),
		message{10, 0, 0, 0, 0, 0, 0, 0}.num(unix.NHA_ID, 9).attr(unix.NHA_ENCAP|unix.NLA_F_NESTED, message{}.num(1, 16)).attr(unix.NHA_BLACKHOLE, nil),
		message{0, 0, 0, 0, 0, 0, 0, 0}.num(unix.NHA_ID, 8).attr(unix.NHA_GROUP, make([]byte, 16)).attr(unix.NHA_GROUP_TYPE, u16(1)),
	}, func(n *NextHop, size int) bool {
		for _, m := range n.Members {
			if m.Weight < 1 || m.Weight > 1<<16 {
				return false
			}
		}
		return n.ID != 0 && isHop(&n.Hop) && cap(n.Members)*nextHopMemberLength <= size
	})
}

func FuzzLink(f *testing.F) {
	kind := func(name string, data message) message {
		return message{}.attr(unix.IFLA_INFO_KIND, []byte(name)).attr(unix.IFLA_INFO_DATA|unix.NLA_F_NESTED, data)
	}
	fuzz(f, []message{
		linkHead(0, 5, 1).attr(unix.IFLA_IFNAME, []byte("eth0\x00")).
			attr(unix.IFLA_LINKINFO, kind("vrf", message{}.num(unix.IFLA_VRF_TABLE, 9))),
		linkHead(0, 6, 1).num(unix.IFLA_LINK, 5).num(unix.IFLA_MASTER, 7).num(unix.IFLA_MTU, 1500).
			attr(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, 1}).
			attr(unix.IFLA_LINKINFO|unix.NLA_F_NESTED, kind("vlan", message{}.attr(iflaVLANID, u16(42)).attr(iflaVLANProtocol, []byte{0x88, 0xa8}))),
	}, func(l *Link, size int) bool {
		return isLink(l.Index) && (l.Master == 0 || isLink(l.Master)) && (l.Parent == 0 || isLink(l.Parent)) &&
			(l.Kind == "vrf" || l.VRFTable == 0) && (l.Kind == "vlan" || l.VLAN == 0 && l.TPID == 0) && l.VLAN < 1<<12 &&
			len(l.Name)+len(l.Kind) <= size
	})
}

func FuzzNeighbor(f *testing.F) {
	fuzz(f, []message{
		neighborHead(unix.AF_INET6, 3, 2, 0).addr(unix.NDA_DST, "2001:db8::9"),
		neighborHead(unix.AF_INET, 3, 2, 0).addr(unix.NDA_DST, "192.0.2.9").attr(unix.NDA_LLADDR, make([]byte, 6)),
	}, func(n *Neighbor, _ int) bool { return isLink(n.Link) && n.Addr.IsValid() })
}

func FuzzAddr(f *testing.F) {
	fuzz(f, []message{
		append(message{10, 64, 0, 0}, u32(4)...).addr(unix.IFA_ADDRESS, "2001:db8::1"),
		append(message{2, 24, 0, 0}, u32(4)...).addr(unix.IFA_ADDRESS, "192.0.2.2").addr(unix.IFA_LOCAL, "192.0.2.1"),
	}, func(d *Addr, _ int) bool { return isLink(d.Link) && d.Prefix.IsValid() })
}

func FuzzNetconf(f *testing.F) {
	fuzz(f, []message{netconfHead(unix.AF_INET6, 9), netconfHead(unix.AF_INET, 3).num(netconfForwarding, 1)},
		func(n *Netconf, _ int) bool { return isLink(n.Link) && (n.Known || !n.Forwarding) })
}

func FuzzRule(f *testing.F) {
	fuzz(f, []message{
		message{unix.AF_INET, 0, 0, 0, 254, 0, 0, ruleToTable, 0, 0, 0, 0}.num(rulePriority, 32766).num(ruleTable, 254),
		message{unix.AF_INET6, 0, 32, 0, 7, 0, 0, ruleToTable, 0, 0, 0, 0}.num(ruleSuppressPrefix, 0),
	}, func(r *Rule, _ int) bool { return bitsOf(r.Family) != 0 })
}
