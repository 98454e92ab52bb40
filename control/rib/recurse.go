package rib

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"weft/fib"
)

const (
	maxDepth   = 8    // gateways found through gateways
	maxLookups = 1024 // of gateways, for one group
	maxWeight  = 256  // of a hop that was computed: the kernel takes no more

	maxCommon = 1 << 24 // times two weights is below 2^63: beyond it shares are not exact
)

// expansion is what the hops of a group come to when each gateway without a link
// is found by the longest prefix around it that leads anywhere.
type expansion struct {
	hops     []hop // each with a link that is up; sorted
	end      uint8 // without hops: RTN_BLACKHOLE, RTN_UNREACHABLE or RTN_PROHIBIT, or 0: nowhere
	mode     fib.Mode
	gateways []key // that were looked up on the way
}

func (x *expansion) equals(o *expansion) bool {
	return x.end == o.end && x.mode == o.mode && slices.Equal(x.hops, o.hops)
}

// walk is one expansion. What it finds depends on the candidates, links and
// next-hop objects alone, and not on what other groups have come to: so the order
// of changes does not matter, and nothing oscillates.
type walk struct {
	r        *RIB
	inside   []key // gateways being looked up: none is found through itself
	gateways []key
	lookups  int
}

// reach is what a part of a walk has come to.
type reach struct {
	hops []hop
	end  uint8
}

func (x *reach) isNowhere() bool { return len(x.hops) == 0 && x.end == 0 }

// expand returns what a group of a source other than the kernel comes to.
func (r *RIB) expand(g *group) expansion {
	w := walk{r: r}
	var x expansion
	found := w.group(g)
	x.hops, x.end, x.gateways = found.hops, found.end, w.gateways
	if g.nextHop != 0 {
		_, x.mode, _ = r.objectHopsOf(g.by, g.nextHop)
	}
	return x
}

// group returns what a group leads to.
func (w *walk) group(g *group) reach {
	switch {
	case g.kind == toNowhere:
		return reach{end: unix.RTN_BLACKHOLE}
	case g.kind == toSender && g.prohibits():
		return reach{end: unix.RTN_PROHIBIT}
	case g.kind == toSender:
		return reach{end: unix.RTN_UNREACHABLE}
	case g.kind != toHops:
		return reach{}
	}
	hops := g.hops
	if g.nextHop != 0 {
		var blackhole bool
		if hops, _, blackhole = w.r.objectHopsOf(g.by, g.nextHop); blackhole {
			return reach{end: unix.RTN_BLACKHOLE}
		}
	}
	return w.hops(hops, g.vrf, g.by)
}

func (g *group) prohibits() bool {
	return g.code == codeProhibited4 && g.family == 4 || g.code == codeProhibited6 && g.family == 6
}

// hops returns what hops come to together, each with its share.
func (w *walk) hops(hops []hop, vrf uint16, by Source) reach {
	var parts []part
	end := uint8(0)
	for _, h := range hops {
		switch {
		case h.link != 0 && w.r.isUp(h.link) && (by != Kernel || !h.encap && !h.gateway.Is4In6()):
			parts = append(parts, part{h.weight, []hop{h}})
		case h.link == 0 && h.gateway.IsValid() && by != Kernel:
			found := w.gateway(hostKey(vrf, h.gateway))
			if len(found.hops) > 0 {
				parts = append(parts, part{h.weight, found.hops})
			}
			end = max(end, found.end)
		}
	}
	if len(parts) > 0 {
		return reach{hops: divide(parts)}
	}
	return reach{end: end}
}

// gateway finds a gateway by the longest prefix around it that leads anywhere
// without it.
func (w *walk) gateway(gw key) reach {
	if !slices.Contains(w.gateways, gw) {
		w.gateways = append(w.gateways, gw)
	}
	w.lookups++
	if len(w.inside) == maxDepth || w.lookups > maxLookups || slices.Contains(w.inside, gw) {
		return reach{}
	}
	w.inside = append(w.inside, gw)
	defer func() { w.inside = w.inside[:len(w.inside)-1] }()
	for bits := int(gw.bits); bits >= 0; bits-- {
		if !w.r.lengths.has(gw, uint8(bits)) {
			continue
		}
		if bits == 0 && !w.r.options.ThroughDefault {
			break
		}
		if found, ok := w.prefix(gw.shortened(uint8(bits))); ok {
			for i, h := range found.hops {
				if !h.gateway.IsValid() {
					found.hops[i].gateway = gw.addr()
				}
			}
			return found
		}
	}
	return reach{}
}

// prefix returns what the best candidate of a prefix leads to; ok is false when
// there is none that leads anywhere.
func (w *walk) prefix(k key) (found reach, ok bool) {
	for c := range w.r.inOrder(k) {
		g := w.r.groups[c.group]
		switch {
		case c.particular() == 1:
			return reach{}, true
		case c.isKernels():
			if k.family == 6 && w.r.isAmbiguous(k, c) {
				return reach{}, true
			}
			return w.group(g), true
		}
		if found = w.group(g); found.isNowhere() {
			continue
		}
		if hops, several := w.r.together(k, c); several {
			found = w.hops(hops, g.vrf, g.by)
		}
		return found, true
	}
	return reach{}, false
}

// resolveFlat is resolve for a group of a source other than the kernel.
func (r *RIB) resolveFlat(g *group) (fib.Group, []member) {
	pick := func(v4, v6 uint8) fib.Group {
		if g.family == 6 {
			v4 = v6
		}
		return fib.Group{Kind: fib.Reject, Code: v4}
	}
	switch g.flat.end {
	case unix.RTN_BLACKHOLE:
		return fib.Group{Kind: fib.Blackhole}, nil
	case unix.RTN_UNREACHABLE:
		return pick(codeUnreachable4, codeUnreachable6), nil
	case unix.RTN_PROHIBIT:
		return pick(codeProhibited4, codeProhibited6), nil
	}
	if g.dead {
		return fib.Group{Kind: fib.Punt, Reason: r.options.Reasons.Unresolved}, nil
	}
	return r.lead(g, r.answering(g.flat.hops), g.flat.mode)
}

// answering returns the hops whose neighbors have not failed, or all if all
// have.
func (r *RIB) answering(hops []hop) []hop {
	failed := func(h hop) bool {
		p := r.peers[peerKey{h.link, h.gateway}]
		return p != nil && p.failed
	}
	if !slices.ContainsFunc(hops, failed) {
		return hops
	}
	if up := slices.DeleteFunc(slices.Clone(hops), failed); len(up) > 0 {
		return up
	}
	return hops
}

// part is a hop of a given weight, and what it comes to.
type part struct {
	weight int
	hops   []hop
}

// divide gives each part its share, and each hop of a part its share of that.
func divide(parts []part) []hop {
	common := int64(1)
	totals := make([]int64, len(parts))
	for i, p := range parts {
		for _, h := range p.hops {
			totals[i] += int64(h.weight)
		}
		if next := common / gcd(common, totals[i]) * totals[i]; next <= maxCommon {
			common = next
		}
	}
	type target struct {
		hop
		share int64
	}
	shares := map[hop]int64{}
	for i, p := range parts {
		for _, h := range p.hops {
			share := max(int64(p.weight)*int64(h.weight)*common/totals[i], 1)
			h.weight = 0
			shares[h] += share
		}
	}
	all := make([]target, 0, len(shares))
	for h, share := range shares {
		all = append(all, target{h, share})
	}
	slices.SortFunc(all, func(a, b target) int {
		return cmp.Or(cmp.Compare(a.link, b.link), a.gateway.Compare(b.gateway), less(b.encap))
	})
	all = all[:min(len(all), fib.MaxMembers)]
	divisor, largest := int64(0), int64(0)
	for _, t := range all {
		divisor, largest = gcd(divisor, t.share), max(largest, t.share)
	}
	hops := make([]hop, len(all))
	for i, t := range all {
		hops[i] = t.hop
		if hops[i].weight = int(t.share / divisor); largest/divisor > maxWeight {
			hops[i].weight = int(max((t.share*maxWeight+largest/2)/largest, 1))
		}
	}
	return hops
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
