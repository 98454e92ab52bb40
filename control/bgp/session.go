package bgp

import (
	"context"
	"net/netip"
	"reflect"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"google.golang.org/protobuf/proto"

	"weft/control/config"
)

// session is what weft knows of a neighbor beside GoBGP.
type session struct {
	neighbor config.BGPNeighbor
	address  netip.Addr // invalid: of an unnumbered one that was not found yet
	peer     *api.Peer  // as GoBGP has it; nil: it has not

	// by what GoBGP tells
	state     bgp.FSMState
	restarts  map[bgp.Family]bool // families that it preserves, when it speaks graceful restart
	ended     map[bgp.Family]bool // it has sent all it has
	since     time.Time           // Established
	refused   string              // why there is no session, until the configuration changes or it is cleared
	overLimit bool
	warned    bool   // that it will be over its limit soon
	times     uint64 // Established
	reached   bool   // an interface leads to it
	transport apiutil.Transport
	lastDown  string
	lastError string
}

func (s *session) isUp() bool { return s.state == bgp.BGP_FSM_ESTABLISHED }

// idleAfterReset is how long GoBGP waits after a session was cleared.
const idleAfterReset = 1 // second

// put gives GoBGP a neighbor as the configuration has it, if its address is known.
func (sp *speaker) put(ctx context.Context, n *config.BGPNeighbor) error {
	address := n.Address
	if n.Interface != "" {
		address = sp.finder.address(n.Interface)
	}
	sp.mu.Lock()
	s := sp.sessions[n.Name()]
	if s == nil {
		s = &session{address: address, reached: sp.ways[n.Name()].up}
		sp.sessions[n.Name()] = s
	}
	if !reflect.DeepEqual(s.neighbor, *n) {
		s.neighbor, s.refused, s.overLimit = *n, "", false
	}
	moved, refused := s.address != address, s.refused != ""
	sp.mu.Unlock()
	if moved {
		if err := sp.drop(ctx, s); err != nil {
			return err
		}
	}
	sp.mu.Lock()
	s.address = address
	sp.mu.Unlock()
	sp.tellFeed()
	if !address.IsValid() || refused {
		return nil
	}
	return sp.give(ctx, s, sp.peerOf(n, address))
}

// give makes GoBGP have a peer as wanted.
func (sp *speaker) give(ctx context.Context, s *session, want *api.Peer) (err error) {
	has := s.peer
	same := has != nil && proto.Equal(hard(has), hard(want))
	switch {
	case has != nil && proto.Equal(has, want):
		return nil
	case !same:
		if err := sp.drop(ctx, s); err != nil {
			return err
		}
	}
	sp.mu.Lock()
	s.peer = want
	sp.mu.Unlock()
	if same {
		_, err = sp.bgp.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: want})
		return err
	}
	if err = sp.bgp.AddPeer(ctx, &api.AddPeerRequest{Peer: want}); err != nil {
		sp.mu.Lock()
		s.peer = nil
		sp.mu.Unlock()
	}
	return err
}

// hard is what of a peer cannot change without ending the session.
func hard(p *api.Peer) *api.Peer {
	p = proto.CloneOf(p)
	p.Timers = nil
	p.GracefulRestart.LocalRestarting = false
	return p
}

// drop takes a peer from GoBGP. The password goes first: GoBGP would leave it with the
// listening socket.
func (sp *speaker) drop(ctx context.Context, s *session) error {
	sp.mu.Lock()
	p := s.peer
	if s.isUp() {
		s.lastDown = "the configuration or the interface has changed"
		sp.log.Info("BGP session ended", "neighbor", s.neighbor.Name(), "reason", s.lastDown)
	}
	s.peer, s.state, s.ended = nil, bgp.BGP_FSM_IDLE, nil
	sp.mu.Unlock()
	if p == nil {
		return nil
	}
	if p.Conf.AuthPassword != "" {
		open := proto.CloneOf(p)
		open.Conf.AuthPassword, open.Conf.AdminDown = "", true
		if _, err := sp.bgp.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: open}); err != nil {
			return err
		}
	}
	return sp.bgp.DeletePeer(ctx, &api.DeletePeerRequest{Address: p.Conf.NeighborAddress})
}

// remove ends the sessions that a configuration does not have.
func (sp *speaker) remove(ctx context.Context, c *Config) error {
	stay := map[string]bool{}
	for i := range c.Neighbors {
		stay[c.Neighbors[i].Name()] = true
	}
	for name, s := range sp.sessions {
		if stay[name] {
			continue
		}
		if err := sp.drop(ctx, s); err != nil {
			return err
		}
		sp.mu.Lock()
		delete(sp.sessions, name)
		sp.mu.Unlock()
	}
	return nil
}

// tellFeed tells what routes of each neighbor depend on.
func (sp *speaker) tellFeed() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	all := peers{}
	for name, s := range sp.sessions {
		if s.address.IsValid() {
			all[s.address] = traits{name, sp.isInternal(&s.neighbor)}
		}
	}
	sp.server.feed.peers.Store(&all)
}

func (sp *speaker) localAS(n *config.BGPNeighbor) uint32 {
	if n.LocalAS != 0 {
		return n.LocalAS
	}
	return sp.config.AS
}

func (sp *speaker) isInternal(n *config.BGPNeighbor) bool { return n.IsInternal(&sp.config) }

// peerOf is a neighbor as GoBGP has it.
func (sp *speaker) peerOf(n *config.BGPNeighbor, address netip.Addr) *api.Peer {
	as := n.RemoteAS.Number // 0: any
	if n.RemoteAS.Kind == config.RemoteInternal {
		as = sp.localAS(n)
	}
	restart := sp.gracefulRestart(n)
	p := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: address.String(), PeerAsn: as, LocalAsn: n.LocalAS, AuthPassword: n.Password, AdminDown: n.Shutdown,
			AllowOwnAsn: anyOwnAS, // refuseLoops decides
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: seconds(n.Timers.Hold), KeepaliveInterval: seconds(n.Timers.Keepalive), ConnectRetry: seconds(n.Timers.ConnectRetry),
			IdleHoldTimeAfterReset: idleAfterReset,
		}},
		Transport:      &api.Transport{PassiveMode: n.Passive, RemotePort: uint32(n.Port), BindInterface: n.Interface},
		RouteReflector: &api.RouteReflector{RouteReflectorClient: n.ReflectorClient},
		GracefulRestart: &api.GracefulRestart{
			Enabled: restart.Enabled, HelperOnly: restart.HelperOnly, RestartTime: uint32(seconds(restart.RestartTime)),
			DeferralTime: uint32(seconds(restart.Deferral)), LonglivedEnabled: restart.LongLived > 0,
			LocalRestarting: sp.restarting && restart.Enabled && !restart.HelperOnly,
		},
		EbgpMultihop: &api.EbgpMultihop{Enabled: n.EBGPMultihop > 0, MultihopTtl: uint32(n.EBGPMultihop)},
		TtlSecurity:  &api.TtlSecurity{Enabled: n.TTLSecurity > 0},
	}
	if n.TTLSecurity > 0 {
		p.TtlSecurity.TtlMin = 256 - uint32(n.TTLSecurity)
	}
	if n.LocalAddress.IsValid() {
		p.Transport.LocalAddress = n.LocalAddress.String()
	}
	for _, f := range n.Families {
		p.AfiSafis = append(p.AfiSafis, afiSafi(n, f, &restart))
	}
	return p
}

func (sp *speaker) gracefulRestart(n *config.BGPNeighbor) config.GracefulRestart {
	if n.GracefulRestart != nil {
		return *n.GracefulRestart
	}
	return sp.config.GracefulRestart
}

func afiSafi(n *config.BGPNeighbor, f config.Family, restart *config.GracefulRestart) *api.AfiSafi {
	family := apiutil.ToApiFamily(families[f].Afi(), families[f].Safi())
	return &api.AfiSafi{
		Config:            &api.AfiSafiConfig{Family: family, Enabled: true},
		MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: restart.Enabled}},
		LongLivedGracefulRestart: &api.LongLivedGracefulRestart{Config: &api.LongLivedGracefulRestartConfig{
			Enabled: restart.LongLived > 0, RestartTime: uint32(seconds(restart.LongLived)),
		}},
		AddPaths: &api.AddPaths{Config: &api.AddPathsConfig{Receive: n.AddPathReceive, SendMax: uint32(n.AddPathSend)}},
	}
}

func seconds(d time.Duration) uint64 { return uint64(d / time.Second) }

// byAddress returns the session with an address.
func (sp *speaker) byAddress(a netip.Addr) *session {
	for _, s := range sp.sessions {
		if s.address == a {
			return s
		}
	}
	return nil
}

// peerChanged takes note of what GoBGP tells of a session.
func (sp *speaker) peerChanged(p *apiutil.Peer, at time.Time) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	s := sp.byAddress(p.State.NeighborAddress)
	if s == nil {
		return
	}
	before := s.state
	if s.state = p.State.SessionState; s.state != before {
		sp.census.forget()
	}
	if p.State.AdminState == api.PeerState_ADMIN_STATE_PFX_CT && s.peer != nil {
		sp.overLimit(s)
	}
	if s.peer == nil { // it is one that was dropped
		s.state = bgp.BGP_FSM_IDLE
		return
	}
	switch {
	case s.state == bgp.BGP_FSM_ESTABLISHED:
		sp.established(s, p, at)
	case before == bgp.BGP_FSM_ESTABLISHED:
		s.ended, s.lastDown = nil, reason(&p.State)
		sp.log.Info("BGP session ended", "neighbor", s.neighbor.Name(), "reason", s.lastDown)
	case before == bgp.BGP_FSM_OPENSENT || before == bgp.BGP_FSM_OPENCONFIRM || before == bgp.BGP_FSM_ACTIVE:
		if text := reason(&p.State); text != "" && s.state == bgp.BGP_FSM_IDLE {
			s.lastError = text
		}
	}
}

func (sp *speaker) established(s *session, p *apiutil.Peer, at time.Time) {
	s.times++
	s.transport = p.Transport
	s.reached = sp.ways[s.neighbor.Name()].up
	s.since, s.restarts, s.ended, s.lastError, s.warned = at, map[bgp.Family]bool{}, map[bgp.Family]bool{}, "", false
	for _, c := range p.State.RemoteCap {
		if gr, ok := c.(*bgp.CapGracefulRestart); ok {
			for _, t := range gr.Tuples {
				s.restarts[bgp.NewFamily(t.AFI, t.SAFI)] = true
			}
		}
	}
	sp.log.Info("BGP session established", "neighbor", s.neighbor.Name(), "as", p.State.PeerASN)
	if s.neighbor.RemoteAS.Kind == config.RemoteExternal && p.State.PeerASN == sp.localAS(&s.neighbor) {
		sp.refuse(s, "the neighbor has our own AS, and remote_as is external: change it, or its AS")
	}
}

// refuse ends the session with a neighbor, and what came by it. GoBGP would keep that as
// stale when it ends a session for too many prefixes.
func (sp *speaker) refuse(s *session, why string) {
	if s.refused != "" {
		return
	}
	s.refused = why
	sp.log.Error("BGP session refused", "neighbor", s.neighbor.Name(), "reason", why)
	go sp.server.refused(sp, s.neighbor.Name())
}

func (s *Server) refused(sp *speaker, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := sp.sessions[name]
	if s.speaker != sp || n == nil || n.refused == "" {
		return
	}
	if err := sp.drop(context.Background(), n); err != nil {
		s.log.Error("end BGP session", "neighbor", name, "error", err)
	}
}

// endOfRIB takes note that a neighbor has sent all that it has.
func (sp *speaker) endOfRIB(a netip.Addr, f bgp.Family) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if s := sp.byAddress(a); s != nil && s.ended != nil {
		s.ended[f] = true
	}
}

// reason is why a session ended, in words.
func reason(p *apiutil.PeerState) string { return p.DisconnectMessage }
