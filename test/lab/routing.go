package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ErrRouting is a way of routing that there is not.
var ErrRouting = errors.New("wrong routing")

// Routing says where the routers of a topology have their routes from.
type Routing string

// Ways of routing. The zero value is Static.
const (
	Static Routing = "static" // the kernel's, made with the topology
	BGP    Routing = "bgp"    // eBGP unnumbered, of weft itself
	FRR    Routing = "frr"    // eBGP unnumbered, of FRR's zebra and bgpd
)

// Routings are all ways of routing.
func Routings() []string { return []string{string(BGP), string(FRR), string(Static)} }

// ParseRouting reads a way of routing.
//
// Errors wrap ErrRouting.
func ParseRouting(s string) (Routing, error) {
	if !slices.Contains(Routings(), s) {
		return "", fmt.Errorf("%w: %q: want %s", ErrRouting, s, strings.Join(Routings(), ", "))
	}
	return Routing(s), nil
}

// Unnumbered returns the topology with routers that learn their routes by BGP. Links between them have no addresses but
// the link-local ones, so each router has one of its own (RFC 7938, RFC 8950).
func (t Topology) Unnumbered(by Routing) Topology {
	t.Routing = by
	t.Links, t.Routes = slices.Clone(t.Links), slices.Clone(t.Routes)
	for i, l := range t.Links {
		if t.isRouter(l.A.Node) && t.isRouter(l.B.Node) {
			t.Links[i].A.Addrs, t.Links[i].B.Addrs = nil, nil
		}
	}
	t.Routes = slices.DeleteFunc(t.Routes, func(r Route) bool { return t.isRouter(r.Node) })
	return t
}

// learns tells whether routers learn their routes from each other.
func (t *Topology) learns() bool { return t.Routing == BGP || t.Routing == FRR }

// firstAS is the first of the private numbers of four bytes (RFC 6996).
const firstAS = 4200000000

// router makes the n-th router of a topology. The n-th has 10.254.0.n and 2001:db8:fe::n.
func router(name string, n int, as uint32) Node {
	id := netip.AddrFrom4([4]byte{10, 254, 0, byte(n)})
	return Node{Name: name, Router: true, AS: firstAS + as, ID: id}
}

// loopbacks returns the router's own addresses.
func (n Node) loopbacks() []netip.Prefix {
	last := n.ID.As4()[3]
	v6 := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0xfe, 15: last})
	return []netip.Prefix{netip.PrefixFrom(n.ID, 32), netip.PrefixFrom(v6, 128)}
}

func (t *Topology) node(name string) (n Node, found bool) {
	i := slices.IndexFunc(t.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return n, false
	}
	return t.Nodes[i], true
}

func (t *Topology) isRouter(name string) bool {
	n, _ := t.node(name)
	return n.Router
}

// neighbor is a node at the other end of a link.
type neighbor struct {
	node   string
	dev    string         // that leads to it
	router bool           //
	waits  bool           // for it to open the BGP session: one of the two does, so that no two are opened at once
	addrs  []netip.Prefix // of dev
}

func (t *Topology) neighbors(node string) (all []neighbor) {
	for _, l := range t.Links {
		for i, e := range [2][2]End{{l.A, l.B}, {l.B, l.A}} {
			if e[0].Node == node {
				all = append(all, neighbor{e[1].Node, e[0].Interface, t.isRouter(e[1].Node), i == 1, e[0].Addrs})
			}
		}
	}
	return all
}

// peers returns the neighbors with which a router speaks BGP.
func (t *Topology) peers(router string) []neighbor {
	return slices.DeleteFunc(t.neighbors(router), func(n neighbor) bool { return !n.router })
}
