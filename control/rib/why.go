package rib

import "fmt"

// why says why a candidate was chosen, or was not.
func (r *RIB) why(k key, c *candidate) string {
	best, ok := r.best(k, r.eligible)
	switch {
	case !r.eligible(c):
		return r.whyDead(r.groups[c.group])
	case !ok:
		return ""
	case best == *c:
		return r.whyBest(k, c)
	case r.isTaken(k, c):
		return "one route with the best: same source and preference"
	}
	switch {
	case best.rank == rankLocal && c.rank != rankLocal:
		return "the local table goes first"
	case best.particular() != c.particular():
		return "the best is for some packets only: Linux chooses"
	case best.metric != c.metric:
		return fmt.Sprintf("preference %d, the best has %d", c.metric, best.metric)
	case best.rank != c.rank:
		return fmt.Sprintf("%s goes before %s with the same preference", best.source(), c.source())
	}
	return "Linux has another one of its metric before it"
}

func (r *RIB) whyBest(k key, c *candidate) string {
	only, next := true, candidate{}
	passed := 0
	for o := range r.inOrder(k) {
		switch {
		case *o == *c:
		case o.rank == rankReserved:
		case !r.eligible(o):
			passed++
		case only:
			only, next = false, *o
		}
	}
	switch {
	case only && passed > 0:
		return "the only route that leads anywhere"
	case only:
		return "the only route"
	case c.rank == rankLocal && next.rank != rankLocal:
		return "the local table goes first"
	case c.metric != next.metric && c.particular() == next.particular():
		return fmt.Sprintf("preference %d, the next has %d", c.metric, next.metric)
	case c.rank != next.rank:
		return fmt.Sprintf("%s goes before %s with the same preference", c.source(), next.source())
	}
	return "first of its preference"
}

// whyDead says why a group leads nowhere.
func (r *RIB) whyDead(g *group) string {
	if g.nextHop != 0 && r.objects[g.by][g.nextHop] == nil {
		return fmt.Sprintf("next-hop object %d is not known", g.nextHop)
	}
	for _, h := range g.hops {
		l := r.links[h.link]
		switch {
		case h.link == 0:
			return fmt.Sprintf("no route leads to gateway %s", h.gateway)
		case l == nil:
			return fmt.Sprintf("interface %d is not there", h.link)
		case !r.isUp(h.link):
			return fmt.Sprintf("interface %s is down", l.Name)
		}
	}
	return "its next hops lead nowhere"
}
