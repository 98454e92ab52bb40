package bgp

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// path translates a path of GoBGP's.
func (sp *speaker) path(p *apiutil.Path) Path {
	to := Path{
		From: p.PeerAddress, RouterID: p.PeerID, PathID: p.RemoteID, Best: p.Best, Valid: !p.IsNexthopInvalid, Stale: p.Stale, Filtered: p.Filtered,
		Since: time.Unix(p.Age, 0),
	}
	if nlri, ok := p.Nlri.(*bgp.IPAddrPrefix); ok {
		to.Prefix = nlri.Prefix
	}
	if t, ok := (*sp.server.feed.peers.Load())[p.PeerAddress]; ok {
		to.Neighbor, to.Internal = t.name, t.internal
	}
	hop := gatewayOf(p, to.Internal)
	to.NextHop, to.Interface = hop.WithZone(""), hop.Zone()
	for _, a := range p.Attrs {
		to.attribute(a)
	}
	return to
}

var origins = [...]string{"igp", "egp", "incomplete"}

// attribute translates one attribute.
func (p *Path) attribute(a bgp.PathAttributeInterface) {
	switch a := a.(type) {
	case *bgp.PathAttributeOrigin:
		p.Origin = origins[min(int(a.Value), len(origins)-1)]
	case *bgp.PathAttributeAsPath:
		for _, s := range a.Value {
			p.ASPath = append(p.ASPath, Segment{SegmentKind(s.GetType()), s.GetAS()})
		}
	case *bgp.PathAttributeMultiExitDisc:
		p.MED = &a.Value
	case *bgp.PathAttributeLocalPref:
		p.LocalPref = &a.Value
	case *bgp.PathAttributeCommunities:
		for _, c := range a.Value {
			p.Communities = append(p.Communities, communityText(c))
		}
	case *bgp.PathAttributeLargeCommunities:
		for _, c := range a.Values {
			if c.ASN != markAS {
				p.LargeCommunities = append(p.LargeCommunities, c.String())
			}
		}
	case *bgp.PathAttributeExtendedCommunities:
		for _, c := range a.Value {
			p.ExtCommunities = append(p.ExtCommunities, c.String())
		}
	case *bgp.PathAttributeOriginatorId:
		p.OriginatorID = a.Value
	case *bgp.PathAttributeClusterList:
		p.Clusters = append([]netip.Addr(nil), a.Value...)
	case *bgp.PathAttributeAtomicAggregate:
		p.AtomicAggregate = true
	case *bgp.PathAttributeAggregator:
		p.Aggregator = fmt.Sprintf("%d %s", a.Value.AS, a.Value.Address)
	}
}

// communityText returns a community as people write it.
func communityText(c uint32) string {
	if name, ok := bgp.WellKnownCommunityNameMap[bgp.WellKnownCommunity(c)]; ok {
		return name
	}
	return fmt.Sprintf("%d:%d", c>>16, c&0xffff)
}
