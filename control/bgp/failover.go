package bgp

import (
	"context"
	"maps"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"weft/control/config"
	"weft/control/rib"
)

// around is what the kernel says of the way to a neighbor with an address.
type around struct {
	up  bool       // an interface leads there
	via netip.Addr // our IPv6 address there
}

// followNumbered ends sessions with external neighbors whose interface has gone down, for
// their routes lead nowhere: others are told so now, and not when the hold time is over.
// Where the interface has come up again it has GoBGP try at once, and not when its
// connect-retry time is over. It reports whether neighbors are to be told another next hop.
func (sp *speaker) followNumbered(ctx context.Context) (changed bool, err error) {
	ways := map[string]around{}
	if err := sp.server.options.RIB.Do(ctx, func(r *rib.RIB) {
		for i := range sp.config.Neighbors {
			if n := &sp.config.Neighbors[i]; n.Address.IsValid() {
				ways[n.Name()] = wayTo(r, n.Address)
			}
		}
	}); err != nil {
		return false, err
	}
	sp.mu.Lock()
	sp.ways = ways
	sp.mu.Unlock()
	via := map[string]netip.Addr{}
	for name, w := range ways {
		via[name] = w.via
	}
	changed = !maps.Equal(via, sp.via)
	sp.via = via
	lost, found := sp.turned(ways)
	for _, s := range found {
		if err := sp.retry(ctx, s); err != nil {
			return changed, err
		}
	}
	for _, address := range lost {
		if err := sp.bgp.ResetPeer(ctx, &api.ResetPeerRequest{Address: address, Communication: "interface down"}); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// turned returns the addresses of attached neighbors that an interface led to and does no
// longer, and neighbors without a session that one leads to again.
func (sp *speaker) turned(ways map[string]around) (lost []string, found []*session) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for name, w := range ways {
		s := sp.sessions[name]
		if s == nil {
			continue
		}
		switch {
		case s.reached && !w.up && s.isUp() && sp.isAttached(&s.neighbor):
			lost = append(lost, s.address.String())
		case !s.reached && w.up && s.peer != nil && s.state <= bgp.BGP_FSM_ACTIVE:
			found = append(found, s)
		}
		s.reached = w.up
	}
	return lost, found
}

// retry has GoBGP begin anew with a neighbor, unless that has just connected, or GoBGP keeps
// what it had sent before it restarted.
func (sp *speaker) retry(ctx context.Context, s *session) error {
	busy := false
	if err := sp.bgp.ListPeer(ctx, &api.ListPeerRequest{Address: s.address.String()}, func(p *api.Peer) {
		busy = p.GracefulRestart.GetPeerRestarting() || p.State.SessionState > api.PeerState_SESSION_STATE_ACTIVE
	}); err != nil || busy {
		return err
	}
	want := s.peer
	if err := sp.drop(ctx, s); err != nil {
		return err
	}
	return sp.give(ctx, s, want)
}

// isAttached reports whether a neighbor is on a network of ours, by the configuration.
func (sp *speaker) isAttached(n *config.BGPNeighbor) bool {
	return n.Address.IsValid() && !sp.isInternal(n) && n.EBGPMultihop == 0
}

// wayTo finds the interfaces that carry packets and have an address in the subnet of
// another.
func wayTo(r *rib.RIB, a netip.Addr) (way around) {
	links := map[int]bool{}
	for own := range r.Addrs {
		if l, ok := r.Link(own.Link); ok && own.Prefix.Masked().Contains(a) && l.IsUp() && l.HasCarrier() {
			way.up, links[own.Link] = true, true
		}
	}
	for own := range r.Addrs {
		addr := own.Prefix.Addr()
		if links[own.Link] && addr.Is6() && !addr.IsLinkLocalUnicast() && (!way.via.IsValid() || addr.Less(way.via)) {
			way.via = addr
		}
	}
	return way
}
