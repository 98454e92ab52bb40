package control

import (
	"slices"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
)

// Interface is a link as far as it matters for whether it is a port.
type Interface struct {
	kernel.Link
	VRF    int  // number of the one that it is in
	Member bool // of a bridge or a bond, which packets go through first
	IPv4   bool // packets of the family that come in by it are forwarded, by their destination alone
	IPv6   bool
}

type netconfKey struct {
	link   int
	family uint8
}

func (f *Follower) takeNetconf(payload []byte, there bool) {
	var c kernel.Netconf
	switch {
	case !f.decoded(c.Decode(payload)):
	case !there:
		delete(f.forwarding, netconfKey{c.Link, c.Family})
	case c.Known:
		f.forwarding[netconfKey{c.Link, c.Family}] = c.Forwarding
	}
}

func (f *Follower) takeLink(payload []byte, there bool) {
	var l kernel.Link
	switch {
	case !f.decoded(l.Decode(payload)):
	case there:
		f.rib.SetLink(l)
	default:
		f.rib.DeleteLink(l.Index)
		delete(f.forwarding, netconfKey{l.Index, unix.AF_INET})
		delete(f.forwarding, netconfKey{l.Index, unix.AF_INET6})
	}
}

// tellInterfaces tells the owner of the interfaces that have changed, and brings
// the routes over those up to date that he has made ports or no ports. One link
// may make others ports: a port its VLANs, a VRF its members.
func (f *Follower) tellInterfaces() {
	if f.config.Interface == nil {
		return
	}
	for index, old := range f.told {
		if _, ok := f.rib.Link(index); !ok {
			delete(f.told, index)
			f.config.Interface(old, false)
		}
	}
	links := slices.SortedFunc(f.rib.Links, func(a, b *kernel.Link) int { return a.Index - b.Index })
	for _, l := range links {
		i := Interface{Link: *l, IPv4: f.forwards(l.Index, unix.AF_INET), IPv6: f.forwards(l.Index, unix.AF_INET6)}
		i.VRF, i.Member = f.rib.Place(l.Index)
		if old, ok := f.told[l.Index]; !ok || old != i {
			f.told[l.Index] = i
			f.config.Interface(i, true)
		}
	}
	f.portsChanged(f.rib)
}

func (f *Follower) forwards(link int, family uint8) bool {
	return f.forwarding[netconfKey{link, family}] && !f.policy[family]
}

// portsChanged brings the routes over links up to date of which Ports has
// another answer than before.
func (f *Follower) portsChanged(r *rib.RIB) {
	// gofail: var followerPortsChanged struct{}
	for l := range r.Links {
		if n, _ := f.config.Ports.Number(l.Index); n != f.numbers[l.Index] {
			f.numbers[l.Index] = n
			r.PortChanged(l.Index)
		}
	}
	for index := range f.numbers {
		if _, ok := r.Link(index); !ok {
			delete(f.numbers, index)
		}
	}
}
