package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNotConverged is a routing that has not brought all routes.
var ErrNotConverged = errors.New("the routing has not converged")

// expected is a route that a router should learn: to a subnet of hosts, with a path through each neighbor that is on a
// shortest way.
type expected struct {
	router string
	to     netip.Prefix
	paths  int
}

func (e expected) String() string {
	return fmt.Sprintf("%s has not %s with %d paths", e.router, e.to, e.paths)
}

// expected returns what routers are to learn from each other.
func (t *Topology) expected() (all []expected) {
	routers := t.Routers()
	for _, at := range routers {
		distance := t.distances(at)
		for _, n := range t.neighbors(at) {
			if n.router {
				continue
			}
			for _, router := range routers {
				for _, a := range n.addrs {
					if router != at {
						all = append(all, expected{router, a.Masked(), t.nearer(router, distance)})
					}
				}
			}
		}
	}
	return all
}

// distances returns how many links each router is away from one.
func (t *Topology) distances(from string) map[string]int {
	distance := map[string]int{from: 0}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, n := range t.neighbors(queue[0]) {
			if _, seen := distance[n.node]; n.router && !seen {
				distance[n.node] = distance[queue[0]] + 1
				queue = append(queue, n.node)
			}
		}
	}
	return distance
}

// nearer counts the links that lead nearer.
func (t *Topology) nearer(router string, distance map[string]int) (links int) {
	for _, n := range t.neighbors(router) {
		if n.router && distance[n.node] < distance[router] {
			links++
		}
	}
	return links
}

// Progress is how far the routing has come.
type Progress struct {
	Routes, WantRoutes     int // to subnets of hosts, of all routers
	Sessions, WantSessions int // of BGP, up at both ends
}

const lookEvery = 100 * time.Millisecond

// Converge waits until each router has its sessions, and has all routes to hosts in the kernel, with as many paths as the
// topology offers. Of a topology with static routes, that is at once. It tells how far that is when that changes.
//
// Errors: ErrNotConverged, with what is missing, when the context ends before.
func (l *Lab) Converge(ctx context.Context, tell func(Progress)) error {
	want, told := l.expected(), Progress{}
	for {
		missing, err := l.missing(want)
		if err != nil {
			return fmt.Errorf("await routes: %w", err)
		}
		now := Progress{Routes: len(want) - len(missing), WantRoutes: len(want)}
		if err := l.countSessions(&now); err != nil {
			return fmt.Errorf("await BGP sessions: %w", err)
		}
		if now != told {
			told = now
			tell(now)
		}
		if now.Routes == now.WantRoutes && now.Sessions == now.WantSessions {
			return nil
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return fmt.Errorf("%w: %d of %d BGP sessions: %s: the logs are in %s",
				ErrNotConverged, now.Sessions, now.WantSessions, some(missing), stateDir(l.prefix))
		}
	}
}

func (l *Lab) countSessions(p *Progress) error {
	if !l.learns() {
		return nil
	}
	ends, want := 0, 0
	for _, router := range l.Routers() {
		n, err := l.Sessions(router)
		if err != nil {
			return err
		}
		ends += n
		want += len(l.peers(router))
	}
	p.Sessions, p.WantSessions = min(ends, want)/2, want/2
	return nil
}

// Of a TCP connection.
const (
	portBGP     = 179
	established = 1 // TCP_ESTABLISHED
)

// Sessions returns how many connections of BGP a node has.
func (l *Lab) Sessions(node string) (n int, err error) {
	err = l.In(node, func() error {
		sockets, err := netlink.SocketDiagTCP(unix.AF_INET6)
		if err != nil {
			return fmt.Errorf("list TCP connections of %s: %w", node, err)
		}
		for _, s := range sockets {
			if s.State == established && (s.ID.SourcePort == portBGP || s.ID.DestinationPort == portBGP) {
				n++
			}
		}
		return nil
	})
	return n, err
}

// some names the first of many.
func some(missing []expected) string {
	const most = 3
	var names []string
	for _, e := range missing[:min(len(missing), most)] {
		names = append(names, e.String())
	}
	if len(missing) == 0 {
		return "all routes are there"
	}
	if more := len(missing) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

func (l *Lab) missing(want []expected) (missing []expected, err error) {
	paths := map[string]map[netip.Prefix]int{}
	for _, router := range l.Routers() {
		if paths[router], err = l.paths(router); err != nil {
			return nil, err
		}
	}
	for _, e := range want {
		if paths[e.router][e.to] < e.paths {
			missing = append(missing, e)
		}
	}
	return missing, nil
}

// paths returns how many paths the routes in a node's main table have.
func (l *Lab) paths(node string) (paths map[netip.Prefix]int, err error) {
	paths = map[netip.Prefix]int{}
	err = l.In(node, func() error {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			routes, err := netlink.RouteList(nil, family)
			if err != nil {
				return fmt.Errorf("list routes of %s: %w", node, err)
			}
			for _, r := range routes {
				if r.Dst == nil {
					continue
				}
				addr, _ := netip.AddrFromSlice(r.Dst.IP)
				bits, _ := r.Dst.Mask.Size()
				to := netip.PrefixFrom(addr, bits)
				paths[to] = max(paths[to], len(r.MultiPath), 1)
			}
		}
		return nil
	})
	return paths, err
}
