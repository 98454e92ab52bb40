package rib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// programmed is a kernel as who programs it sees it: what Export tells leads there,
// and it refuses what a kernel would.
type programmed struct {
	*bench
	groups map[uint32]ExportGroup
	routes map[string]ExportRoute
	told   []string // of the last publication
}

func newProgrammed(t *testing.T) *programmed {
	p := &programmed{groups: map[uint32]ExportGroup{}, routes: map[string]ExportRoute{}}
	p.bench = newBench(t, Options{Export: p.take})
	return p
}

func (p *programmed) take(x *Export) {
	for _, g := range x.Groups {
		if g.ID == 0 || g.Type == unix.RTN_UNICAST && len(g.Hops) == 0 {
			p.Errorf("group %+v", g)
		}
		p.groups[g.ID] = g
		p.told = append(p.told, fmt.Sprintf("group %d", g.ID))
	}
	for _, m := range x.Routes {
		name := m.Key.Prefix().String()
		p.told = append(p.told, name)
		if m.Group == 0 {
			if _, ok := p.routes[name]; !ok {
				p.Errorf("%s: there was none", name)
			}
			delete(p.routes, name)
			continue
		}
		if _, ok := p.groups[m.Group]; !ok {
			p.Errorf("%s: group %d was not told", name, m.Group)
		}
		p.routes[name] = m
	}
	for _, id := range x.Gone {
		for name, m := range p.routes {
			if m.Group == id {
				p.Errorf("group %d goes before %s", id, name)
			}
		}
		delete(p.groups, id)
		p.told = append(p.told, fmt.Sprintf("-group %d", id))
	}
	for _, k := range x.Lost {
		p.told = append(p.told, "lost "+k.Prefix().String())
	}
	slices.Sort(p.told)
}

// text is what a prefix is to lead to.
func (p *programmed) text(prefix string) string {
	m, ok := p.routes[prefix]
	if !ok {
		return ""
	}
	s := fmt.Sprintf("%s metric %d", m.Source, m.Metric)
	g := p.groups[m.Group]
	if g.Type != unix.RTN_UNICAST {
		s += fmt.Sprintf(" type %d", g.Type)
	}
	for _, h := range g.Hops {
		s += fmt.Sprintf(" %d %s x%d", h.Link, h.Gateway, h.Weight)
	}
	return s
}

func (p *programmed) after(steps []string, told, prefix, want string) {
	p.Helper()
	p.told = nil
	p.steps(steps...)
	if got := strings.Join(p.told, ", "); got != told {
		p.Errorf("after %q: told %q, want %q", steps, got, told)
	}
	if got := p.text(prefix); got != want {
		p.Errorf("after %q: %s is %q, want %q", steps, prefix, got, want)
	}
}

func TestExport(t *testing.T) {
	p := newProgrammed(t)
	const a = "10.0.0.0/8"
	p.after([]string{"kernel unicast 192.0.2.0/24 dev 1", "kernel unicast 198.51.100.0/24 dev 2", "fpm 10.0.0.0/8 via 192.0.2.1 dev 1"}, "", a, "")
	p.after([]string{"bgp 10.0.0.0/8 pref 20 via 192.0.2.1"}, "10.0.0.0/8, group 1", a, "bgp metric 20 1 192.0.2.1 x1")
	p.after([]string{"bgp 11.0.0.0/8 pref 20 via 192.0.2.1"}, "11.0.0.0/8", a, "bgp metric 20 1 192.0.2.1 x1")
	p.after([]string{"bgp 11.0.0.0/8 pref 20 via 192.0.2.1"}, "", a, "bgp metric 20 1 192.0.2.1 x1")
	// Found elsewhere: one group, whatever the number of prefixes.
	p.after([]string{"kernel unicast 192.0.2.1/32 via 198.51.100.9 dev 2"}, "group 1", a, "bgp metric 20 2 198.51.100.9 x1")
	// There and back within a publication is nothing.
	p.after([]string{"-bgp 10.0.0.0/8", "bgp 10.0.0.0/8 pref 20 via 192.0.2.1"}, "", a, "bgp metric 20 2 198.51.100.9 x1")
	// A route of the kernel is better: what the kernel has of weft stays.
	p.after([]string{"kernel unicast 10.0.0.0/8 via 192.0.2.7 dev 1"}, "", a, "bgp metric 20 2 198.51.100.9 x1")
	p.after([]string{"static blackhole 10.0.0.0/8 pref 1"}, "10.0.0.0/8, group 2", a, "static metric 1 type 6")
	p.after([]string{"-static 10.0.0.0/8"}, "-group 2, 10.0.0.0/8", a, "bgp metric 20 2 198.51.100.9 x1")
	p.after([]string{"bgp:2 10.0.0.0/8 pref 20 via 192.0.2.3"}, "10.0.0.0/8, group 3", a, "bgp metric 20 1 192.0.2.3 x1 2 198.51.100.9 x1")
	p.after([]string{"down 2"}, "-group 1, 11.0.0.0/8, group 3", a, "bgp metric 20 1 192.0.2.3 x1")
	p.after([]string{"down 1"}, "-group 3, 10.0.0.0/8", a, "")
	p.after([]string{"up 1", "up 2"}, "10.0.0.0/8, 11.0.0.0/8, group 4, group 5", a, "bgp metric 20 1 192.0.2.3 x1 2 198.51.100.9 x1")
	p.BeginReplay(BGP)
	p.EndReplay(BGP)
	p.after(nil, "-group 4, -group 5, 10.0.0.0/8, 11.0.0.0/8", a, "")
	if len(p.groups)+len(p.routes) > 0 {
		t.Errorf("%v and %v are left", p.groups, p.routes)
	}
}

// What weft has programmed comes back through the mirror, and is no rival.
func TestOwnRoutesComeBack(t *testing.T) {
	p := newProgrammed(t)
	const mirrored = "unicast 10.0.0.0/8 nhid 70 metric 20 proto 119"
	k := KeyOf(0, netip.MustParsePrefix("10.0.0.0/8"))
	p.steps("kernel unicast 192.0.2.0/24 dev 1", "bgp 10.0.0.0/8 pref 20 via 192.0.2.1")
	check := func(when string, agrees bool, exported ...copied) {
		t.Helper()
		want, have, same := p.CheckExport(k)
		got := p.copies.at(k.key)
		for i := range got {
			got[i].generation = 0
		}
		if same != agrees || !slices.Equal(got, exported) {
			t.Errorf("%s: want %q, have %q, %v, exported %+v", when, want, have, same, got)
		}
	}
	check("not there yet", false)
	p.SetNextHop(kernel.NextHop{ID: 70, Hop: kernel.Hop{Link: 1, Gateway: netip.MustParseAddr("192.0.2.1"), Weight: 1}})
	one := copied{metric: 20, kind: unix.RTN_UNICAST, nextHop: 70}
	p.after([]string{"kernel " + mirrored}, "", "10.0.0.0/8", "bgp metric 20 1 192.0.2.1 x1")
	check("there", true, one)
	if n := len(p.At(k)); n != 1 {
		t.Errorf("%d candidates, want 1", n)
	}
	if m, ok := p.Wanted(k); !ok || m.Metric != 20 || m.Group == 0 {
		t.Errorf("wanted %+v %v", m, ok)
	}
	p.SetNextHop(kernel.NextHop{ID: 70, Hop: kernel.Hop{Link: 2, Gateway: netip.MustParseAddr("192.0.2.1"), Weight: 1}})
	check("leads elsewhere", false, one)
	p.after([]string{"-kernel " + mirrored}, "lost 10.0.0.0/8", "10.0.0.0/8", "bgp metric 20 1 192.0.2.1 x1")
	check("removed by somebody", false)
	p.steps("kernel " + mirrored)
	p.told = nil
	p.SetRoute(route(t, "unicast 10.0.0.0/8 via 192.0.2.9 dev 1 metric 20"), Replace)
	p.Publish()
	if got := strings.Join(p.told, ", "); got != "lost 10.0.0.0/8" {
		t.Errorf("replaced by somebody: told %q", got)
	}
	p.steps("-kernel unicast 10.0.0.0/8 via 192.0.2.9 dev 1 metric 20", "kernel "+mirrored)
	p.told = nil
	p.DeleteNextHop(70) // its routes go without a word
	p.Publish()
	if got := strings.Join(p.told, ", "); got != "lost 10.0.0.0/8" {
		t.Errorf("its object is gone: told %q", got)
	}
	check("its object is gone", false)
	p.after([]string{"-bgp 10.0.0.0/8"}, "-group 1, 10.0.0.0/8", "10.0.0.0/8", "")
	p.after([]string{"kernel " + mirrored}, "", "10.0.0.0/8", "")
	check("left over", false, one)
	p.wants("10.0.0.0/8", absent)
}

// After a restart packets follow what weft has programmed before, until the source
// is back or the route goes.
func TestRestartAdoptsOwnRoutes(t *testing.T) {
	p := &programmed{groups: map[uint32]ExportGroup{}, routes: map[string]ExportRoute{}}
	p.bench = &bench{t, New(testImage(t, 1<<20), Options{Ports: portsBelow(9), Reasons: testReasons, Export: p.take})}
	object := kernel.NextHop{ID: 70, Hop: kernel.Hop{Link: 1, Gateway: netip.MustParseAddr("192.0.2.1"), Weight: 1}}
	give := func() {
		p.BeginSync()
		for _, n := range []int{1, 2} {
			p.SetLink(testLink(n))
		}
		p.SetNextHop(object)
		for _, prefix := range []string{"10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"} {
			p.SetRoute(route(t, "unicast "+prefix+" nhid 70 metric 20 proto 119"), Dumped)
		}
		p.EndSync()
	}
	p.set("bgp 12.0.0.0/8 pref 20 via 192.0.2.2 dev 2") // before the first synchronization
	give()
	if !slices.Contains(p.told, "12.0.0.0/8") {
		t.Errorf("told %q", p.told)
	}
	p.wants("10.0.0.0/8", "1 192.0.2.1 x1", "12.0.0.0/8", "2 192.0.2.2 x1")
	give() // they stay
	p.wants("10.0.0.0/8", "1 192.0.2.1 x1")
	p.steps("bgp 10.0.0.0/8 pref 200 via 192.0.2.3 dev 2") // worse, but what weft wants now
	p.wants("10.0.0.0/8", "2 192.0.2.3 x1")
	p.steps("-bgp 10.0.0.0/8")
	p.wants("10.0.0.0/8", absent)
	p.steps("-kernel unicast 11.0.0.0/8 nhid 70 metric 20 proto 119")
	p.wants("11.0.0.0/8", absent)
	if n := p.Counts().Exported; n != 2 {
		t.Errorf("%d exported, want 2", n)
	}
	if c := p.Counts(); c.Unmatched != 0 {
		t.Errorf("%+v", c)
	}
}
