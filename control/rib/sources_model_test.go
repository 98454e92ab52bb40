package rib

import (
	"cmp"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// offered is a candidate of the model.
type offered struct {
	place  int // 0: the local table; then FPM, kernel, static, BGP
	metric uint32
	origin uint32
	kernel *kernel.Route
	own    *Route
}

// way is what a packet may take; shares are exact.
type way struct {
	link int
	gw   netip.Addr
}

type ways struct {
	shares map[way]*big.Rat
	end    int  // of no shares: 0 nowhere, 1 blackhole, 2 unreachable, 3 prohibit
	coarse bool // shares cannot all be told exactly
}

func (w ways) nowhere() bool { return len(w.shares) == 0 && w.end == 0 }

// at returns the candidates of a prefix, best first.
func (s *state) at(p netip.Prefix) (all []offered) {
	if all, ok := s.sorted[p]; ok {
		return all
	}
	defer func() { s.sorted[p] = all }()
	for _, m := range s.routes {
		if m.Prefix == p {
			place := 2
			if m.Table == tableLocal {
				place = 0
			}
			all = append(all, offered{place: place, metric: m.Metric, kernel: m})
		}
	}
	for _, m := range s.own {
		if m.Prefix == p {
			all = append(all, offered{place: map[Source]int{FPM: 1, Static: 3, BGP: 4}[m.Source], metric: m.Preference, origin: m.Origin, own: m})
		}
	}
	slices.SortFunc(all, func(a, b offered) int {
		return cmp.Or(min(a.place, 1)-min(b.place, 1), cmp.Compare(a.metric, b.metric), a.place-b.place, cmp.Compare(a.origin, b.origin))
	})
	return all
}

// expand says where hops lead together.
func (s *state) expand(hops []Hop, inside []netip.Addr) ways {
	all := ways{shares: map[way]*big.Rat{}}
	for _, h := range hops {
		part := ways{shares: map[way]*big.Rat{}}
		switch {
		case h.Link == 0:
			part = s.find(h.Gateway, inside)
		case s.up(h.Link):
			part.shares[way{h.Link, h.Gateway}] = big.NewRat(1, 1)
		}
		for w, share := range part.shares {
			if all.shares[w] == nil {
				all.shares[w] = new(big.Rat)
			}
			all.shares[w].Add(all.shares[w], new(big.Rat).Mul(share, big.NewRat(int64(max(h.Weight, 1)), 1)))
		}
		all.end, all.coarse = max(all.end, part.end), all.coarse || part.coarse
	}
	total := new(big.Rat)
	for _, share := range all.shares {
		total.Add(total, share)
	}
	for _, share := range all.shares {
		share.Quo(share, total)
	}
	if len(all.shares) > 0 {
		all.end = 0
	}
	_, fits := all.weights()
	all.coarse = all.coarse || !fits
	return all
}

func (s *state) up(link int) bool {
	l, ok := s.links[link]
	return ok && l.IsUp() && l.HasCarrier()
}

// find looks for a gateway.
func (s *state) find(gw netip.Addr, inside []netip.Addr) ways {
	if s.lookups++; len(inside) == maxDepth || s.lookups > maxLookups || slices.Contains(inside, gw) {
		return ways{}
	}
	inside = append(slices.Clone(inside), gw)
	for bits := gw.BitLen(); bits > 0; bits-- {
		p, _ := gw.Prefix(bits)
		for _, c := range s.at(p) {
			found := s.leads(c, inside)
			if found.nowhere() && c.kernel == nil {
				continue
			}
			if hops, several := s.class(p, c); several {
				found = s.expand(hops, inside)
			}
			shares := map[way]*big.Rat{}
			for w, share := range found.shares {
				if !w.gw.IsValid() {
					w.gw = gw
				}
				if shares[w] == nil {
					shares[w] = new(big.Rat)
				}
				shares[w].Add(shares[w], share)
			}
			found.shares = shares
			return found
		}
	}
	return ways{}
}

// leads says where a candidate leads alone.
func (s *state) leads(c offered, inside []netip.Addr) ways {
	if c.own != nil {
		if c.own.Kind != Unicast {
			return ways{end: int(c.own.Kind)}
		}
		return s.expand(s.hopsOf(c.own), inside)
	}
	m := c.kernel
	switch m.Type {
	case unix.RTN_BLACKHOLE:
		return ways{end: 1}
	case unix.RTN_PROHIBIT:
		return ways{end: 3}
	case unix.RTN_UNICAST:
	default:
		return ways{}
	}
	return s.expand(asHops(m.Hops, m.NextHop, s.objects), inside)
}

func (s *state) hopsOf(m *Route) []Hop {
	if m.NextHop == 0 {
		return m.Hops
	}
	return asHops(nil, m.NextHop, s.fpm)
}

func asHops(hops []kernel.Hop, id uint32, objects map[uint32]kernel.NextHop) (all []Hop) {
	if id != 0 {
		n, ok := objects[id]
		switch {
		case !ok:
			return nil
		case !n.IsGroup():
			return []Hop{{Gateway: n.Hop.Gateway, Link: n.Hop.Link, Weight: 1}}
		}
		for _, m := range n.Members {
			if one, ok := objects[m.ID]; ok {
				all = append(all, Hop{Gateway: one.Hop.Gateway, Link: one.Hop.Link, Weight: m.Weight})
			}
		}
		return all
	}
	for _, h := range hops {
		all = append(all, Hop{Gateway: h.Gateway, Link: h.Link, Weight: h.Weight})
	}
	return all
}

// class returns the hops of all candidates that are one route with c.
func (s *state) class(p netip.Prefix, c offered) (hops []Hop, several bool) {
	if c.own == nil || c.own.Kind != Unicast || c.own.NextHop != 0 {
		return nil, false
	}
	n := 0
	for _, o := range s.at(p) {
		if o.place == c.place && o.metric == c.metric && o.own.Kind == Unicast && o.own.NextHop == 0 {
			hops = append(hops, o.own.Hops...)
			n++
		}
	}
	return hops, n > 1
}

// weights turns shares into the smallest integers.
func (w ways) weights() (weights map[way]int64, fits bool) {
	common, divisor := big.NewInt(1), new(big.Int)
	for _, share := range w.shares {
		d := share.Denom()
		g := new(big.Int).GCD(nil, nil, common, d)
		common.Mul(common, new(big.Int).Quo(d, g))
	}
	whole := map[way]*big.Int{}
	for k, share := range w.shares {
		whole[k] = new(big.Int).Quo(new(big.Int).Mul(share.Num(), common), share.Denom())
		divisor.GCD(nil, nil, divisor, whole[k])
	}
	weights, fits = map[way]int64{}, true
	for k, n := range whole {
		weights[k] = n.Quo(n, divisor).Int64()
		fits = fits && weights[k] <= maxWeight
	}
	return weights, fits
}

// expected says what the image is to hold for a prefix; known is false when the
// kernel's routes decide.
func (s *state) expected(p netip.Prefix) (text string, coarse, known bool) {
	for _, c := range s.at(p) {
		if c.kernel != nil {
			return "", false, false
		}
		s.lookups = 0
		w := s.leads(c, nil)
		if w.nowhere() {
			continue
		}
		if hops, several := s.class(p, c); several {
			s.lookups = 0
			w = s.expand(hops, nil)
		}
		switch {
		case len(w.shares) > 0:
			return s.describe(w), w.coarse, true
		case w.end == 1:
			return "blackhole", false, true
		case p.Addr().Is4():
			return map[int]string{2: "reject 1", 3: "reject 13"}[w.end], false, true
		}
		return map[int]string{2: "reject 0", 3: "reject 1"}[w.end], false, true
	}
	return "", false, true
}

func (s *state) describe(w ways) string {
	weights, _ := w.weights()
	var all, failed []way
	for k := range weights {
		if n := s.neighbors[peerKey{k.link, k.gw}]; n.State&unix.NUD_FAILED != 0 {
			failed = append(failed, k)
		} else {
			all = append(all, k)
		}
	}
	if len(all) == 0 {
		all = failed
	}
	slices.SortFunc(all, func(a, b way) int { return cmp.Or(a.link-b.link, a.gw.Compare(b.gw)) })
	var members []string
	for _, k := range all {
		switch {
		case k.link == 3:
			return "punt 1"
		case !k.gw.IsValid() && len(all) > 1:
			return "punt 10"
		case !k.gw.IsValid():
			return fmt.Sprintf("glean %d", k.link)
		}
		members = append(members, fmt.Sprintf("%d %s x%d", k.link, k.gw, weights[k]))
	}
	slices.Sort(members)
	return strings.Join(members, ", ")
}

// plain leaves the rewrite out of what an image holds, and weights when they are
// coarse.
func plain(text string, coarse bool) string {
	var members []string
	for _, m := range strings.Split(text, ", ") {
		f := strings.Fields(m)
		if len(f) > 3 {
			f = f[:3]
		}
		if coarse && len(f) == 3 {
			f = f[:2]
		}
		members = append(members, strings.Join(f, " "))
	}
	slices.Sort(members)
	return strings.Join(members, ", ")
}

// stepOwn changes what sources other than the kernel offer.
func (s *state) stepOwn(t *testing.T, rnd *rand.Rand, r *RIB, told bool) {
	gateways := []string{"192.0.2.1", "192.0.2.2", "192.0.1.1", "192.0.3.5", "192.0.0.3"}
	prefixes := []string{"192.0.2.0/24", "192.0.0.0/16", "192.0.2.0/29", "192.0.1.0/24", "192.0.3.4/30", "10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32"}
	if rnd.IntN(3) == 0 {
		gateways = []string{"2001:db8::1", "2001:db8::2", "2001:db8::5"}
		prefixes = []string{"2001:db8::/64", "2001:db8::/126", "2001:db8::5/128", "2001:db9::/32", "10.2.0.0/16"}
	}
	hop := func() (h Hop) {
		h.Gateway = netip.MustParseAddr(gateways[rnd.IntN(len(gateways))])
		if h.Weight = rnd.IntN(4); rnd.IntN(3) == 0 {
			h.Link = 1 + rnd.IntN(3)
		}
		return h
	}
	switch rnd.IntN(8) {
	case 0: // an object comes or changes
		id := uint32(1 + rnd.IntN(3))
		n := kernel.NextHop{ID: id, Hop: kernel.Hop{Gateway: hop().Gateway, Link: 1 + rnd.IntN(3), Weight: 1}}
		if rnd.IntN(3) == 0 {
			n = kernel.NextHop{ID: id + 10, Members: []kernel.NextHopMember{{ID: 1, Weight: 2}, {ID: 2, Weight: 1}}}
		}
		if s.fpm[n.ID] = n; told {
			r.SetNextHopOf(FPM, n)
		}
		return
	case 1:
		id := uint32(1 + rnd.IntN(3))
		if delete(s.fpm, id); told {
			r.DeleteNextHopOf(FPM, id)
		}
		return
	}
	m := &Route{Prefix: netip.MustParsePrefix(prefixes[rnd.IntN(len(prefixes))]), Source: Source(1 + rnd.IntN(3)), Preference: uint32(rnd.IntN(3))}
	if m.Source != FPM {
		m.Origin = uint32(rnd.IntN(3))
	}
	name := fmt.Sprint(m.Prefix, m.Source, m.Origin)
	if rnd.IntN(3) == 0 {
		_, was := s.own[name]
		delete(s.own, name)
		if told && r.Unset(m) != was {
			t.Errorf("%s: unset %v", name, !was)
		}
		return
	}
	switch {
	case m.Source == FPM && rnd.IntN(2) == 0:
		m.NextHop = uint32(1 + rnd.IntN(3) + 10*rnd.IntN(2))
	case rnd.IntN(10) == 0:
		m.Kind = Kind(1 + rnd.IntN(3))
	case rnd.IntN(10) == 0:
		m.Hops = []Hop{{Link: 1 + rnd.IntN(3)}}
	default:
		for range 1 + rnd.IntN(3) {
			m.Hops = append(m.Hops, hop())
		}
	}
	if m.Prefix.Addr().Is6() {
		m.Hops = slices.DeleteFunc(m.Hops, func(h Hop) bool { return h.Gateway.Is4() })
	}
	s.own[name] = m
	if told {
		s.setOwn(t, r, m)
	}
}

func (s *state) setOwn(t *testing.T, r *RIB, m *Route) {
	if err := r.Set(m); err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
}

// checkOwn compares the image with the model, where sources other than the kernel
// decide.
func (s *state) checkOwn(t *testing.T, when string, r *RIB) (compared int) {
	t.Helper()
	image := contents(t, r, 0)
	s.sorted = map[netip.Prefix][]offered{}
	for _, m := range s.own {
		want, coarse, known := s.expected(m.Prefix)
		if _, host := r.derived[newKey(0, m.Prefix)]; !known || host {
			continue
		}
		compared++
		if got := plain(image[m.Prefix], coarse); got != plain(want, coarse) {
			t.Errorf("%s: %s: image %q, model %q", when, m.Prefix, got, want)
			for _, c := range r.At(KeyOf(0, m.Prefix)) {
				t.Logf("%+v", c)
			}
		}
	}
	return compared
}
