package api

import (
	"net/netip"
	"slices"
	"time"

	"weft/control/bgp"
	"weft/control/config"
)

func showBGP(s *bgp.Status) *BGPStatus {
	out := &BGPStatus{
		As: s.AS, RouterId: addrText(s.RouterID), Neighbors: uint64(s.Neighbors), Established: uint64(s.Established), Restarting: s.Restarting,
		Installed: s.Installed, Refused: s.Refused, Pending: uint64(s.Pending),
	}
	for _, l := range s.Listen {
		out.Listen = append(out.Listen, l.String())
	}
	for _, family := range []config.Family{config.IPv4Unicast, config.IPv6Unicast} {
		name := string(family)
		if prefixes, ok := s.Prefixes[name]; ok || s.Paths[name] > 0 {
			out.Tables = append(out.Tables, &BGPTable{Family: name, Prefixes: prefixes, Paths: s.Paths[name]})
		}
	}
	return out
}

// addrText is "" for an address that is none.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// unixTime is nanoseconds since 1970; 0: never.
func unixTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func showBGPNeighbor(n *bgp.Neighbor) *BGPNeighbor {
	out := &BGPNeighbor{
		Name: validUTF8(n.Name), Address: addrText(n.Address), Interface: validUTF8(n.Interface), Description: validUTF8(n.Description),
		Waiting: validUTF8(n.Waiting), LocalAddress: addrText(n.LocalAddress), LocalPort: uint32(n.LocalPort), RemotePort: uint32(n.RemotePort),
		As: n.AS, LocalAs: n.LocalAS, Internal: n.Internal, RouterId: addrText(n.RouterID),
		State: string(n.State), Shutdown: n.Shutdown, OverLimit: n.OverLimit, Since: unixTime(n.Since), Established: n.Established, Flaps: n.Flaps,
		LastDown: validUTF8(n.LastDown), LastError: validUTF8(n.LastError), Restarting: n.Restarting, Authenticated: n.Authenticated,
		Received: showBGPMessages(&n.Received), Sent: showBGPMessages(&n.Sent),
		Timers: &BGPTimers{
			Hold: int64(n.Timers.Hold), Keepalive: int64(n.Timers.Keepalive), ConfigHold: int64(n.Timers.ConfigHold),
			ConfigKeepalive: int64(n.Timers.ConfigKeep), ConnectRetry: int64(n.Timers.ConnectRetry),
		},
	}
	for _, c := range n.Capabilities {
		out.Capabilities = append(out.Capabilities, &BGPCapability{
			Code: uint32(c.Code), Name: validUTF8(c.Name), Text: validUTF8(c.Text), Local: c.Local, Remote: c.Remote,
		})
	}
	for _, f := range n.Families {
		out.Families = append(out.Families, &BGPFamily{
			Family: string(f.Family), Negotiated: f.Negotiated, Received: f.Received, Accepted: f.Accepted, Advertised: f.Advertised,
			EndOfRib: f.EndOfRIB, Maximum: f.Maximum,
		})
	}
	return out
}

func showBGPMessages(m *bgp.Messages) *BGPMessages {
	return &BGPMessages{
		Open: m.Open, Update: m.Update, Notification: m.Notification, Keepalive: m.Keepalive, RouteRefresh: m.RouteRefresh, Total: m.Total,
	}
}

func showBGPPath(p *bgp.Path) *BGPPath {
	out := &BGPPath{
		Prefix: p.Prefix.String(), Interface: validUTF8(p.Interface), Neighbor: validUTF8(p.Neighbor), From: addrText(p.From),
		RouterId: addrText(p.RouterID), PathId: p.PathID, Best: p.Best, Valid: p.Valid, Stale: p.Stale, Filtered: p.Filtered, Internal: p.Internal,
		Since: unixTime(p.Since), AsPath: p.ASPathText(), Origin: p.Origin, Med: p.MED, LocalPref: p.LocalPref,
		Communities: p.Communities, LargeCommunities: p.LargeCommunities, ExtCommunities: p.ExtCommunities, OriginatorId: addrText(p.OriginatorID),
		AtomicAggregate: p.AtomicAggregate, Aggregator: p.Aggregator,
	}
	if p.NextHop.IsValid() && !p.NextHop.IsUnspecified() {
		out.NextHop = p.NextHop.String()
	}
	for _, c := range p.Clusters {
		out.Clusters = append(out.Clusters, c.String())
	}
	return out
}

// bgpConfigs returns what the configuration in force says of neighbors, by name.
func (s *Server) bgpConfigs() map[string]*BGPNeighborConfig {
	all := map[string]*BGPNeighborConfig{}
	if s.config.BGPConfig == nil {
		return all
	}
	c := s.config.BGPConfig()
	if c == nil {
		return all
	}
	for i := range c.Neighbors {
		n := &c.Neighbors[i]
		all[n.Name()] = showBGPConfig(c, n)
	}
	return all
}

func showBGPConfig(c *config.BGP, n *config.BGPNeighbor) *BGPNeighborConfig {
	out := &BGPNeighborConfig{
		Passive: n.Passive, Multihop: uint32(n.EBGPMultihop), TtlSecurity: uint32(n.TTLSecurity), ReflectorClient: n.ReflectorClient,
		NextHopSelf: n.NextHopSelf,
	}
	out.ImportPolicy, out.DefaultImport = policies(n.ImportPolicy, n.DefaultImport, c.ImportPolicy, c.DefaultImport)
	out.ExportPolicy, out.DefaultExport = policies(n.ExportPolicy, n.DefaultExport, c.ExportPolicy, c.DefaultExport)
	restart := c.GracefulRestart
	if n.GracefulRestart != nil {
		restart = *n.GracefulRestart
	}
	if restart.Enabled {
		out.GracefulRestart, out.RestartTime, out.LongLived = "restarter and helper", int64(restart.RestartTime), int64(restart.LongLived)
		if restart.HelperOnly {
			out.GracefulRestart = "helper"
		}
	}
	return out
}

// policies returns those that a neighbor's routes go through, and what becomes of what
// none of them decides.
func policies(own []string, decided config.Disposition, all []string, otherwise config.Disposition) (names []string, disposition string) {
	if decided != "" { // those of all neighbors are not asked any more
		return own, string(decided)
	}
	if otherwise == "" {
		otherwise = config.Accept
	}
	return slices.Concat(own, all), string(otherwise)
}
