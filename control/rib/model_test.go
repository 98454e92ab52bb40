package rib

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/test/proof"
)

// state is a kernel in the simplest way: what is there, by name.
type state struct {
	links     map[int]kernel.Link
	neighbors map[peerKey]kernel.Neighbor
	objects   map[uint32]kernel.NextHop
	routes    map[string]*kernel.Route // by prefix and metric

	own map[string]*Route         // of other sources, by prefix, source and origin
	fpm map[uint32]kernel.NextHop // objects

	sorted  map[netip.Prefix][]offered // of checkOwn
	lookups int
}

func newState() *state {
	return &state{
		map[int]kernel.Link{}, map[peerKey]kernel.Neighbor{}, map[uint32]kernel.NextHop{}, map[string]*kernel.Route{},
		map[string]*Route{}, map[uint32]kernel.NextHop{}, nil, 0,
	}
}

// give gives a RIB all that is there.
func (s *state) give(t *testing.T, r *RIB) {
	for source := FPM; source < sources; source++ {
		r.BeginReplay(source)
	}
	for _, n := range s.fpm {
		r.SetNextHopOf(FPM, n)
	}
	for _, m := range s.own {
		s.setOwn(t, r, m)
	}
	for source := FPM; source < sources; source++ {
		r.EndReplay(source)
	}
	r.BeginSync()
	for _, l := range s.links {
		r.SetLink(l)
	}
	for _, n := range s.neighbors {
		r.SetNeighbor(n)
	}
	for _, n := range s.objects {
		r.SetNextHop(n)
	}
	for _, m := range s.routes {
		r.SetRoute(m, Dumped)
	}
	r.EndSync()
}

// step changes the state, and tells the RIB unless told is false.
func (s *state) step(t *testing.T, rnd *rand.Rand, r *RIB, told bool) {
	if rnd.IntN(3) == 0 {
		s.stepOwn(t, rnd, r, told)
		return
	}
	six := rnd.IntN(2) == 0
	gateway, prefix := fmt.Sprintf("192.0.2.%d", 1+rnd.IntN(6)), fmt.Sprintf("192.0.%d.%d/%d", rnd.IntN(4), rnd.IntN(8), []int{8, 16, 24, 29, 30, 32}[rnd.IntN(6)])
	if six {
		gateway, prefix = fmt.Sprintf("2001:db8::%d", 1+rnd.IntN(6)), fmt.Sprintf("2001:db8::%d/%d", rnd.IntN(8), []int{0, 32, 64, 125, 127, 128}[rnd.IntN(6)])
	}
	link := 1 + rnd.IntN(3)
	switch rnd.IntN(16) {
	case 0: // a link comes or changes
		l := testLink(link)
		l.MTU = 1400 + uint32(rnd.IntN(2))*100
		l.Flags = []uint32{upAndRunning, upAndRunning, unix.IFF_UP, 0}[rnd.IntN(4)]
		if s.links[link] = l; told {
			r.SetLink(l)
		}
	case 1:
		if rnd.IntN(4) > 0 {
			return
		}
		delete(s.links, link)
		for k := range s.neighbors {
			if k.link == link {
				delete(s.neighbors, k)
			}
		}
		if told {
			r.DeleteLink(link)
		}
	case 2, 3, 4:
		if _, ok := s.links[link]; !ok {
			return
		}
		n := neighbor(link, gateway, []uint16{unix.NUD_REACHABLE, unix.NUD_STALE, unix.NUD_FAILED}[rnd.IntN(3)])
		n.MAC[0] = byte(2 * rnd.IntN(4))
		if s.neighbors[peerKey{link, n.Addr}] = n; told {
			r.SetNeighbor(n)
		}
	case 5:
		n := neighbor(link, gateway, 0)
		if delete(s.neighbors, peerKey{link, n.Addr}); told {
			r.DeleteNeighbor(n)
		}
	case 6, 7: // an object comes or changes
		id := uint32(1 + rnd.IntN(4))
		n := kernel.NextHop{ID: id, Hop: kernel.Hop{Link: link, Gateway: netip.MustParseAddr(gateway), Weight: 1}}
		if rnd.IntN(3) == 0 {
			id += 10
			n = kernel.NextHop{ID: id, Members: []kernel.NextHopMember{{ID: 1, Weight: 1 + rnd.IntN(3)}, {ID: uint32(2 + rnd.IntN(3)), Weight: 1}}}
		}
		if s.objects[id] = n; told {
			r.SetNextHop(n)
		}
	case 8: // an object goes, and its routes
		id := uint32(1 + rnd.IntN(4) + 10*rnd.IntN(2))
		if delete(s.objects, id); told {
			r.DeleteNextHop(id)
		}
		for k, m := range s.routes {
			if m.NextHop == id {
				delete(s.routes, k)
			}
		}
	case 9, 10, 11: // a route goes
		for k, m := range s.routes {
			if delete(s.routes, k); told {
				r.DeleteRoute(m)
			}
			return
		}
	default: // a route comes, or is replaced
		m := route(t, fmt.Sprintf("unicast %s metric %d", netip.MustParsePrefix(prefix).Masked(), rnd.IntN(3)))
		switch rnd.IntN(7) {
		case 0:
			m.Hops = []kernel.Hop{{Link: link, Weight: 1}}
		case 1:
			m.Type = []uint8{unix.RTN_LOCAL, unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT}[rnd.IntN(3)]
		case 2:
			m.NextHop = uint32(1 + rnd.IntN(4) + 10*rnd.IntN(2))
			if _, ok := s.objects[m.NextHop]; !ok {
				return
			}
		case 3:
			m.Hops = []kernel.Hop{{Link: link, Gateway: netip.MustParseAddr(gateway), Weight: 1}, {Link: 1 + link%3, Gateway: netip.MustParseAddr(gateway), Weight: 2}}
		default:
			m.Hops = []kernel.Hop{{Link: link, Gateway: netip.MustParseAddr(gateway), Weight: 1}}
		}
		if m.Prefix.Addr().Is4() && rnd.IntN(8) == 0 {
			m.Table = tableLocal
		}
		if s.routes[fmt.Sprint(m.Prefix, m.Metric, m.Table)] = m; told {
			r.SetRoute(m, Replace)
		}
	}
}

// A RIB that has followed every change, one that is given the result, and one
// that has followed some and is then given the result must come to the same.
func TestFollowingComesToTheSameAsReadingAll(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	s := newState()
	options := Options{Ports: portsBelow(3), Reasons: testReasons} // link 3 is no port
	followed := New(testImage(t, 1<<20), options)
	s.give(t, followed)
	compared := 0
	for round := range 300 {
		told := round%4 != 3
		for range 20 {
			s.step(t, rnd, followed, told)
		}
		if !told {
			s.give(t, followed)
		}
		followed.Publish()
		read := New(testImage(t, 1<<20), options)
		s.give(t, read)
		want, got := contents(t, read, 0), contents(t, followed, 0)
		for p := range want {
			if got[p] != want[p] {
				t.Errorf("round %d, told %v: %s: following %q, reading %q", round, told, p, got[p], want[p])
			}
		}
		for p := range got {
			if _, ok := want[p]; !ok {
				t.Errorf("round %d, told %v: %s: following %q, reading nothing", round, told, p, got[p])
			}
		}
		a, b := followed.Counts(), read.Counts()
		if a.Failed+b.Failed+a.Unmatched != 0 || a.Candidates != b.Candidates || a.Groups != b.Groups || a.Adjacencies != b.Adjacencies {
			t.Errorf("round %d: following %+v, reading %+v", round, a, b)
		}
		compared += s.checkOwn(t, fmt.Sprintf("round %d, told %v", round, told), followed)
		for _, d := range followed.CheckGroups() {
			t.Errorf("round %d: %s", round, d)
		}
		// Another RIB on the same image finds all that it needs.
		if round%50 == 0 {
			again := New(followed.Image(), options)
			s.give(t, again)
			for p, g := range contents(t, again, 0) {
				if got[p] != g {
					t.Errorf("round %d: %s: after a restart %q, before %q", round, p, g, got[p])
				}
			}
			followed = again
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	if compared < 300 {
		t.Errorf("%d prefixes compared with the model", compared)
	}
	proof.Record(t, proof.Result{
		Kind: proof.Agreement, Name: "sources", Count: uint64(compared),
		What: "prefixes with routes of several sources, gateways found through others: RIB and image against a slow model",
	})
}
