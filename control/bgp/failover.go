package bgp

import (
	"context"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"

	"weft/control/config"
	"weft/control/rib"
)

// followNumbered ends sessions with external neighbors whose interface has gone down, for
// their routes lead nowhere: others are told so now, and not when the hold time is over.
func (sp *speaker) followNumbered(ctx context.Context) error {
	up := map[string]bool{}
	if err := sp.server.options.RIB.Do(ctx, func(r *rib.RIB) {
		for i := range sp.config.Neighbors {
			if n := &sp.config.Neighbors[i]; sp.isAttached(n) {
				up[n.Name()] = reaches(r, n.Address)
			}
		}
	}); err != nil {
		return err
	}
	var lost []string
	sp.mu.Lock()
	for name, now := range up {
		s := sp.sessions[name]
		if s == nil {
			continue
		}
		if s.reached && !now && s.isUp() {
			lost = append(lost, s.address.String())
		}
		s.reached = now
	}
	sp.mu.Unlock()
	for _, address := range lost {
		if err := sp.bgp.ResetPeer(ctx, &api.ResetPeerRequest{Address: address, Communication: "interface down"}); err != nil {
			return err
		}
	}
	return nil
}

// isAttached reports whether a neighbor is on a network of ours, by the configuration.
func (sp *speaker) isAttached(n *config.BGPNeighbor) bool {
	return n.Address.IsValid() && !sp.isInternal(n) && n.EBGPMultihop == 0
}

// reaches reports whether an interface that carries packets has an address in the subnet of
// another.
func reaches(r *rib.RIB, a netip.Addr) bool {
	for own := range r.Addrs {
		if l, ok := r.Link(own.Link); ok && own.Prefix.Masked().Contains(a) && l.IsUp() && l.HasCarrier() {
			return true
		}
	}
	return false
}
