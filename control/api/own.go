package api

import (
	"weft/control/rib"
	"weft/control/static"
)

// mostWaiting is how much of what waits a status has.
const mostWaiting = 20

// describeOwn says how far weft's own routes are.
func (s *Server) describeOwn(st *Status) {
	if s.config.Exporter != nil {
		x := s.config.Exporter.Status()
		st.Export = &Export{
			Routes: uint64(x.Routes), Pending: uint64(x.Waiting), Conflicts: uint64(x.Conflicts), Refused: uint64(x.Refused), Changes: x.Changes,
		}
	}
	all := s.waiting()
	st.WaitingCount = uint64(len(all))
	for _, w := range all[:min(len(all), mostWaiting)] {
		st.Waiting = append(st.Waiting, &Waiting{Thing: w.Thing, For: w.For})
	}
}

// waiting returns what of the configuration waits for links.
func (s *Server) waiting() []static.Waiting {
	if s.config.Static == nil {
		return nil
	}
	return s.config.Static.Waiting()
}

// waitingRoutes are the static routes that wait for links, by prefix.
type waitingRoutes map[rib.Key][]static.Waiting

func (s *Server) waitingRoutes() waitingRoutes {
	all := waitingRoutes{}
	for _, w := range s.waiting() {
		if w.Route != nil {
			k := rib.KeyOf(int(w.Route.VRF), w.Route.Prefix)
			all[k] = append(all[k], w)
		}
	}
	return all
}

// absent returns the prefixes that satisfy a condition and of which the RIB knows
// nothing: all their next hops wait.
func (all waitingRoutes) absent(r *rib.RIB, is func(rib.Key) bool) (keys []rib.Key) {
	for k := range all {
		if is(k) && len(r.At(k)) == 0 {
			keys = append(keys, k)
		}
	}
	return keys
}

// routesTo shows the routes to a prefix, best first, and behind them those that are
// not in the RIB because they wait.
func (s *Server) routesTo(r *rib.RIB, k rib.Key, waiting waitingRoutes) (shown []*Route) {
	for _, route := range r.At(k) {
		one := showRoute(r, &route)
		one.NotExported = s.notExported(r, k, &route)
		for _, w := range waiting[k] {
			if route.Offered == rib.Static && route.Origin == w.Route.Origin {
				one.WaitsFor = w.For
			}
		}
		shown = append(shown, one)
	}
	for _, w := range waiting[k] {
		if len(w.Route.Hops) == 0 {
			shown = append(shown, showWaiting(r, &w))
		}
	}
	return shown
}

// notExported says why the kernel does not have a route of weft's own that it is to
// have.
func (s *Server) notExported(r *rib.RIB, k rib.Key, c *rib.Candidate) string {
	if s.config.Exporter == nil || c.Offered != rib.Static && c.Offered != rib.BGP {
		return ""
	}
	if x, ok := r.Wanted(k); !ok || x.Source != c.Offered || x.Metric != c.Metric {
		return "" // another one of weft's is better
	}
	if err := s.config.Exporter.Problem(k); err != nil {
		return err.Error()
	}
	return ""
}

// showWaiting shows a static route that has no next hop yet.
func showWaiting(r *rib.RIB, w *static.Waiting) *Route {
	m := w.Route
	return &Route{
		Dst: m.Prefix.String(), Vrf: uint32(m.VRF), Table: r.Table(int(m.VRF)), Type: "unicast", Protocol: protocolName(m.Protocol), Scope: "global",
		Metric: m.Preference, Source: m.Source.String(), Origin: m.Origin, WaitsFor: w.For, Why: "it waits for " + w.For,
	}
}
