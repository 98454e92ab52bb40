package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"google.golang.org/protobuf/proto"

	"weft/control/config"
)

// A limit of GoBGP's own makes it count all that the neighbor has sent with each message,
// which takes hours with the Internet's table. So weft looks now and then, and a neighbor
// may have sent some more prefixes than it may before its session ends.

const (
	limitEvery = 200 * time.Millisecond
	limitShare = 50 // to look takes so small a share of the time at most

	// prefixWarning is of how many percent of the prefixes that it may send a
	// neighbor's number is logged.
	prefixWarning = 75
)

// prefixLimit is a neighbor that may send so many prefixes of each family.
type prefixLimit struct {
	name     string
	address  netip.Addr
	families []config.Family
	maximum  uint32
}

// watchLimits ends the sessions of neighbors that send more than they may, until ctx ends.
func (sp *speaker) watchLimits(ctx context.Context) {
	look := time.NewTimer(limitEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		began := time.Now()
		for _, n := range sp.limits() {
			if err := sp.checkLimit(ctx, &n); err != nil && ctx.Err() == nil {
				sp.log.Warn("count the prefixes of a neighbor", "neighbor", n.name, "error", err)
			}
		}
		look.Reset(max(limitEvery, limitShare*time.Since(began)))
	}
}

func (sp *speaker) limits() (all []prefixLimit) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for name, s := range sp.sessions {
		if n := &s.neighbor; n.MaximumPrefixes > 0 && s.isUp() {
			all = append(all, prefixLimit{name, s.address, n.Families, n.MaximumPrefixes})
		}
	}
	return all
}

func (sp *speaker) checkLimit(ctx context.Context, n *prefixLimit) error {
	for _, f := range n.families {
		t, err := sp.bgp.GetTable(ctx, &api.GetTableRequest{
			TableType: api.TableType_TABLE_TYPE_ADJ_IN, Name: n.address.String(), Family: apiutil.ToApiFamily(families[f].Afi(), families[f].Safi()),
		})
		if err != nil {
			return err
		}
		sp.hasSent(n, f, t.NumPath)
	}
	return nil
}

// hasSent takes note of how many prefixes of a family a neighbor has sent.
func (sp *speaker) hasSent(n *prefixLimit, f config.Family, prefixes uint64) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	s := sp.sessions[n.name]
	switch {
	case s == nil || !s.isUp() || s.neighbor.MaximumPrefixes != n.maximum || s.refused != "":
	case prefixes > uint64(n.maximum):
		go sp.server.limit(sp, n.name)
	case prefixes*100 > uint64(n.maximum)*prefixWarning && !s.warned:
		s.warned = true
		sp.log.Warn("a neighbor has sent most of the prefixes that it may", "neighbor", n.name, "family", f, "prefixes", prefixes, "maximum_prefixes", n.maximum)
	}
}

// limit has GoBGP find that a neighbor is over its limit, so that the neighbor is told why its
// session ends (RFC 4486).
func (s *Server) limit(sp *speaker, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := sp.sessions[name]
	if s.speaker != sp || n == nil || n.peer == nil {
		return
	}
	p := proto.CloneOf(n.peer)
	for _, f := range p.AfiSafis {
		f.PrefixLimits = &api.PrefixLimit{Family: f.Config.Family, MaxPrefixes: n.neighbor.MaximumPrefixes}
	}
	if _, err := sp.bgp.UpdatePeer(context.Background(), &api.UpdatePeerRequest{Peer: p}); err != nil {
		s.log.Error("limit the prefixes of a neighbor", "neighbor", name, "error", err)
	}
}

// overLimit takes note that GoBGP has ended a session for too many prefixes.
func (sp *speaker) overLimit(s *session) {
	s.overLimit = true
	sp.refuse(s, fmt.Sprintf("it sends more prefixes of a family than maximum_prefixes, %d: raise that, and 'weft bgp clear %s'", s.neighbor.MaximumPrefixes, s.neighbor.Name()))
}
