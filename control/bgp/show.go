package bgp

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"weft/control/config"
	"weft/control/rib"
)

// lock returns the present life of GoBGP, and its configuration.
func (s *Server) lock() (*speaker, *Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.speaker, s.config
}

// Status returns what the Server does as a whole. It costs the same whatever BGP has:
// Paths is as Neighbors has counted them last.
//
// Errors: ErrNoBGP.
func (s *Server) Status() (Status, error) {
	sp, c := s.lock()
	if c == nil {
		return Status{}, ErrNoBGP
	}
	st := Status{AS: c.AS, Neighbors: len(c.Neighbors), Prefixes: map[string]uint64{}, Paths: map[string]uint64{}, Pending: s.feed.waiting()}
	if sp == nil {
		return st, nil
	}
	st.RouterID, st.Listen = sp.id, listens(c)
	st.Restarting = sp.restarting && !s.sync.isOver()
	sp.mu.Lock()
	for _, n := range sp.sessions {
		if n.isUp() {
			st.Established++
		}
	}
	sp.mu.Unlock()
	last := sp.census.last()
	err := s.options.RIB.Do(context.Background(), func(r *rib.RIB) {
		st.Refused = uint64(len(s.feed.refused))
		prefixes := s.feed.count(r)
		for name, family := range families {
			at := indexOf(family)
			st.Installed += uint64(prefixes[at].installed)
			st.Prefixes[string(name)] = uint64(prefixes[at].installed + prefixes[at].others)
			st.Paths[string(name)] = last.paths[at]
		}
	})
	return st, err
}

func listens(c *Config) (all []netip.AddrPort) {
	if c.ListenPort == 0 {
		return nil
	}
	addresses := c.ListenAddresses
	if len(addresses) == 0 {
		addresses = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	for _, a := range addresses {
		all = append(all, netip.AddrPortFrom(a, c.ListenPort))
	}
	return all
}

// Neighbors returns all neighbors, by name. Where policies refuse paths, Accepted may be as it
// was when the paths were counted last (census.go). With advertised it counts the prefixes that
// are advertised to each (FamilyState.Advertised), for which it asks the policies
// again: with a full table that holds BGP up for seconds.
//
// Errors: ErrNoBGP.
func (s *Server) Neighbors(advertised bool) (all []Neighbor, err error) {
	sp, c := s.lock()
	if c == nil {
		return nil, ErrNoBGP
	}
	known, counted := map[string]*api.Peer{}, counts{}
	if sp != nil {
		if err := sp.bgp.ListPeer(context.Background(), &api.ListPeerRequest{EnableAdvertised: advertised}, func(p *api.Peer) {
			known[p.State.NeighborAddress] = p
		}); err != nil {
			return nil, err
		}
		if counted, err = sp.census.count(sp, known); err != nil {
			return nil, err
		}
	}
	for i := range c.Neighbors {
		n := describe(&c.Neighbors[i], c)
		if sp != nil {
			sp.describe(&n, known)
			counted.describe(&n)
		}
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b Neighbor) int {
		if a.Interface == "" && b.Interface == "" {
			return a.Address.Compare(b.Address)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

// describe is what the configuration says of a neighbor.
func describe(n *config.BGPNeighbor, c *Config) Neighbor {
	to := Neighbor{
		Name: n.Name(), Address: n.Address, Interface: n.Interface, Description: n.Description, AS: n.RemoteAS.Number,
		LocalAS: c.AS, State: Idle, Shutdown: n.Shutdown, Authenticated: n.Password != "",
		Timers: Timers{ConfigHold: n.Timers.Hold, ConfigKeep: n.Timers.Keepalive, ConnectRetry: n.Timers.ConnectRetry},
	}
	if n.LocalAS != 0 {
		to.LocalAS = n.LocalAS
	}
	if n.RemoteAS.Kind == config.RemoteInternal {
		to.AS = to.LocalAS
	}
	to.Internal = to.AS == to.LocalAS
	for _, f := range n.Families {
		to.Families = append(to.Families, FamilyState{Family: f, Maximum: n.MaximumPrefixes})
	}
	return to
}

// describe adds what GoBGP and weft know of a neighbor's session.
func (sp *speaker) describe(to *Neighbor, known map[string]*api.Peer) {
	if to.Interface != "" {
		to.Waiting = sp.finder.waiting(to.Interface)
	}
	sp.mu.Lock()
	s := sp.sessions[to.Name]
	if s == nil {
		sp.mu.Unlock()
		return
	}
	to.Established = s.times
	to.Address, to.LastDown, to.LastError = s.address, s.lastDown, s.lastError
	if s.refused != "" {
		to.LastError, to.Refused, to.OverLimit = s.refused, true, s.overLimit
	}
	ended, transport := s.ended, s.transport
	for i := range to.Families {
		to.Families[i].EndOfRIB = ended[families[to.Families[i].Family]]
	}
	sp.mu.Unlock()
	if p := known[to.Address.String()]; p != nil {
		describePeer(to, p)
	}
	if to.State == Established { // GoBGP's description of a peer has the ports of the configuration
		to.LocalPort, to.RemotePort = uint16(transport.LocalPort), uint16(transport.RemotePort)
	}
}

var states = map[api.PeerState_SessionState]State{
	api.PeerState_SESSION_STATE_CONNECT: Connect, api.PeerState_SESSION_STATE_ACTIVE: Active, api.PeerState_SESSION_STATE_OPENSENT: OpenSent,
	api.PeerState_SESSION_STATE_OPENCONFIRM: OpenConfirm, api.PeerState_SESSION_STATE_ESTABLISHED: Established,
}

func describePeer(to *Neighbor, p *api.Peer) {
	if s, ok := states[p.State.SessionState]; ok {
		to.State = s
	}
	to.Flaps = uint64(p.State.Flops)
	to.Restarting = p.GracefulRestart.GetPeerRestarting()
	to.Received, to.Sent = messages(p.State.Messages.GetReceived()), messages(p.State.Messages.GetSent())
	describeTimers(to, p.Timers.GetState())
	to.Capabilities = capabilities(p.State.LocalCap, p.State.RemoteCap)
	if to.State != Established {
		return
	}
	to.AS, to.Internal = p.State.PeerAsn, p.State.PeerAsn == to.LocalAS
	to.RouterID, _ = netip.ParseAddr(p.State.RouterId)
	to.LocalAddress, _ = netip.ParseAddr(p.Transport.GetLocalAddress())
	for i := range to.Families {
		f := &to.Families[i]
		f.Negotiated = negotiated(to.Capabilities, f.Family)
		for _, a := range p.AfiSafis {
			if a.State != nil && apiutil.ToFamily(a.State.Family) == families[f.Family] {
				f.Received, f.Accepted, f.Advertised = a.State.Received, a.State.Accepted, a.State.Advertised
			}
		}
	}
}

func describeTimers(to *Neighbor, t *api.TimersState) {
	if t == nil {
		return
	}
	if to.State != Established {
		if t.Downtime.GetSeconds() > 0 {
			to.Since = t.Downtime.AsTime()
		}
		return
	}
	to.Since = t.Uptime.AsTime()
	to.Timers.Hold, to.Timers.Keepalive = time.Duration(t.NegotiatedHoldTime)*time.Second, time.Duration(t.KeepaliveInterval)*time.Second
}

func messages(m *api.Message) Messages {
	if m == nil {
		return Messages{}
	}
	return Messages{Open: m.Open, Update: m.Update, Notification: m.Notification, Keepalive: m.Keepalive, RouteRefresh: m.Refresh, Total: m.Total}
}

func negotiated(all []Capability, f config.Family) bool {
	return slices.ContainsFunc(all, func(c Capability) bool {
		return c.Code == uint8(bgp.BGP_CAP_MULTIPROTOCOL) && c.Text == string(f) && c.Local && c.Remote
	})
}

// capabilities merges those of both sides.
func capabilities(local, remote []*api.Capability) (all []Capability) {
	add := func(list []*api.Capability, mark func(*Capability)) {
		decoded, err := apiutil.UnmarshalCapabilities(list)
		if err != nil {
			return
		}
		for _, c := range decoded {
			one := Capability{Code: uint8(c.Code()), Name: c.Code().String(), Text: capabilityText(c)}
			i := slices.IndexFunc(all, func(o Capability) bool { return o.Code == one.Code && o.Text == one.Text })
			if i < 0 {
				i, all = len(all), append(all, one)
			}
			mark(&all[i])
		}
	}
	add(local, func(c *Capability) { c.Local = true })
	add(remote, func(c *Capability) { c.Remote = true })
	slices.SortFunc(all, func(a, b Capability) int {
		if a.Code != b.Code {
			return int(a.Code) - int(b.Code)
		}
		return strings.Compare(a.Text, b.Text)
	})
	return all
}

func capabilityText(c bgp.ParameterCapabilityInterface) string {
	var all []string
	switch c := c.(type) {
	case *bgp.CapMultiProtocol:
		return c.CapValue.String()
	case *bgp.CapFourOctetASNumber:
		return fmt.Sprint(c.CapValue)
	case *bgp.CapFQDN:
		return strings.Trim(c.HostName+"."+c.DomainName, ".")
	case *bgp.CapSoftwareVersion:
		return c.SoftwareVersion
	case *bgp.CapExtendedNexthop:
		for _, t := range c.Tuples {
			all = append(all, bgp.NewFamily(t.NLRIAFI, uint8(t.NLRISAFI)).String())
		}
	case *bgp.CapAddPath:
		for _, t := range c.Tuples {
			all = append(all, t.Family.String()+" "+t.Mode.String())
		}
	case *bgp.CapGracefulRestart:
		all = append(all, fmt.Sprintf("%d s", c.Time))
		if c.Flags&restartBit != 0 {
			all = append(all, "restarted")
		}
		for _, t := range c.Tuples {
			all = append(all, bgp.NewFamily(t.AFI, t.SAFI).String())
		}
	}
	return strings.Join(all, ", ")
}

const restartBit = 8 // of the flags of a graceful restart capability, R

// Paths returns paths, by prefix, the best of it first. What it yields with an error is
// no path, and the last. It holds the prefixes that are asked for, of which a million are
// 32 MB; of AdjIn and AdjOut, all paths for a moment.
//
// Errors: ErrNoBGP, ErrNoNeighbor.
func (s *Server) Paths(f Filter) iter.Seq2[Path, error] {
	return func(yield func(Path, error) bool) {
		if err := s.paths(f, func(p Path) bool { return yield(p, nil) }); err != nil {
			yield(Path{}, err)
		}
	}
}

func (s *Server) paths(f Filter, yield func(Path) bool) error {
	sp, c := s.lock()
	if c == nil {
		return ErrNoBGP
	}
	if sp == nil {
		return nil
	}
	address, err := sp.addressOf(f.Neighbor)
	if err != nil {
		return err
	}
	if !address.IsValid() && (f.Neighbor != "" || f.Table != LocRIB) {
		if f.Neighbor == "" {
			return fmt.Errorf("%w: say which neighbor's %s", ErrNoNeighbor, f.Table)
		}
		return nil // unnumbered, and not found yet: it has none
	}
	going := true
	for _, family := range f.families() {
		if !going {
			return nil
		}
		if err := sp.inOrder(f.request(family, address), func(paths []*apiutil.Path) bool {
			for _, p := range paths {
				if going && f.takes(p, address) {
					going = yield(sp.path(p))
				}
			}
			return going
		}); err != nil {
			return err
		}
	}
	return nil
}

// addressOf returns the address of a neighbor, which may be named by that, too; "": none.
func (sp *speaker) addressOf(name string) (netip.Addr, error) {
	if name == "" {
		return netip.Addr{}, nil
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if s := sp.sessions[name]; s != nil {
		return s.address, nil
	}
	if a, err := netip.ParseAddr(name); err == nil && sp.byAddress(a) != nil {
		return a, nil
	}
	return netip.Addr{}, fmt.Errorf("%s: %w", name, ErrNoNeighbor)
}

func (f *Filter) families() []bgp.Family {
	switch {
	case f.Prefix.IsValid() && f.Prefix.Addr().Is4():
		return []bgp.Family{bgp.RF_IPv4_UC}
	case f.Prefix.IsValid():
		return []bgp.Family{bgp.RF_IPv6_UC}
	case f.Family != "":
		return []bgp.Family{families[f.Family]}
	}
	return []bgp.Family{bgp.RF_IPv4_UC, bgp.RF_IPv6_UC}
}

func (f *Filter) request(family bgp.Family, neighbor netip.Addr) apiutil.ListPathRequest {
	r := apiutil.ListPathRequest{Family: family, TableType: api.TableType_TABLE_TYPE_GLOBAL}
	switch f.Table {
	case AdjIn:
		r.TableType, r.Name = api.TableType_TABLE_TYPE_ADJ_IN, neighbor.String()
	case AdjOut:
		r.TableType, r.Name = api.TableType_TABLE_TYPE_ADJ_OUT, neighbor.String()
	}
	if f.Prefix.IsValid() {
		l := &apiutil.LookupPrefix{Prefix: f.Prefix.Masked().String(), LookupOption: apiutil.LOOKUP_EXACT}
		if f.Longer {
			l.LookupOption = apiutil.LOOKUP_LONGER
		}
		r.Prefixes = []*apiutil.LookupPrefix{l}
	}
	return r
}

func (f *Filter) takes(p *apiutil.Path, neighbor netip.Addr) bool {
	return (!f.Best || p.Best) && (f.Table != LocRIB || f.Neighbor == "" || p.PeerAddress == neighbor)
}

// Clear ends the session with a neighbor, or applies policies again; "" or "all" are
// all neighbors.
//
// Errors: ErrNoBGP, ErrNoNeighbor.
func (s *Server) Clear(neighbor string, how Reset) error {
	sp, c := s.lock()
	if c == nil {
		return ErrNoBGP
	}
	if neighbor == "all" {
		neighbor = ""
	}
	if sp == nil {
		return nil
	}
	if how == Hard {
		if err := s.again(sp, neighbor); err != nil {
			return err
		}
	}
	address, err := sp.addressOf(neighbor)
	if err != nil {
		return err
	}
	if !address.IsValid() && neighbor != "" {
		return nil // it has no session
	}
	return sp.reset(address, how)
}

// again gives GoBGP neighbors that were refused.
func (s *Server) again(sp *speaker, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.speaker != sp {
		return nil
	}
	for i := range s.config.Neighbors {
		n := &s.config.Neighbors[i]
		sp.mu.Lock()
		session := sp.sessions[n.Name()]
		was := session != nil && session.refused != "" && (name == "" || name == n.Name())
		if was {
			session.refused, session.overLimit = "", false
		}
		sp.mu.Unlock()
		if was {
			if err := sp.put(context.Background(), n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (sp *speaker) reset(address netip.Addr, how Reset) error {
	r := &api.ResetPeerRequest{Soft: how != Hard}
	if address.IsValid() {
		r.Address = address.String()
	}
	switch how {
	case SoftIn:
		r.Direction = api.ResetPeerRequest_DIRECTION_IN
	case SoftOut:
		r.Direction = api.ResetPeerRequest_DIRECTION_OUT
	case Soft:
		r.Direction = api.ResetPeerRequest_DIRECTION_BOTH
	}
	return sp.bgp.ResetPeer(context.Background(), r)
}
