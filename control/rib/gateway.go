package rib

import "net/netip"

// GatewaysOf calls yield with the gateways that routes of a source in the default VRF name
// without a link, some more than once.
func (r *RIB) GatewaysOf(s Source) func(yield func(netip.Addr) bool) {
	return func(yield func(netip.Addr) bool) {
		for _, g := range r.groups {
			if g == nil || g.by != s || g.vrf != 0 {
				continue
			}
			for _, h := range g.hops {
				if h.link == 0 && h.gateway.IsValid() && !yield(h.gateway) {
					return
				}
			}
		}
	}
}

// Leads reports whether a route through a gateway of the default VRF would lead anywhere,
// as the routes are now.
func (r *RIB) Leads(gateway netip.Addr) bool {
	w := walk{r: r}
	found := w.gateway(hostKey(0, gateway))
	return !found.isNowhere()
}
