package config

import (
	"net/netip"
	"strconv"
	"time"
)

// BGP is a BGP router of weft's own.
type BGP struct {
	AS               uint32           `json:"as" need:"yes" range:"1 4294967294" help:"Number of our autonomous system."`
	RouterID         netip.Addr       `json:"router_id,omitzero" as:"id" help:"Our identifier: the highest IPv4 address, of lo if there is one."`
	ListenPort       uint16           `json:"listen_port" range:"0 65535" help:"TCP port that takes connections; 0, none: 179."`
	ListenAddresses  []netip.Addr     `json:"listen_addresses,omitempty" as:"listen" help:"Addresses that take connections: all."`
	MaximumPaths     uint32           `json:"maximum_paths" range:"1 256" help:"Paths of a prefix that are used together, ECMP: 1."`
	GracefulRestart  GracefulRestart  `json:"graceful_restart" help:"Graceful restart (RFC 4724) of neighbors without one of their own."`
	Neighbors        []BGPNeighbor    `json:"neighbors,omitempty" help:"Routers to speak with."`
	Networks         []BGPNetwork     `json:"networks,omitempty" help:"Prefixes that are advertised while there is a route to them."`
	Redistribute     []Redistribution `json:"redistribute,omitempty" help:"Sources whose routes are advertised."`
	ImportPolicy     []string         `json:"import_policy,omitempty" as:"name" help:"Policies for what all neighbors send, behind their own."`
	ExportPolicy     []string         `json:"export_policy,omitempty" as:"name" help:"Policies for what all neighbors are sent, behind their own."`
	DefaultImport    Disposition      `json:"default_import,omitempty" of:"accept-route reject-route" help:"What becomes of what no import policy decides on: accept-route."`
	DefaultExport    Disposition      `json:"default_export,omitempty" of:"accept-route reject-route" help:"What becomes of what no export policy decides on: accept-route."`
	DefinedSets      DefinedSets      `json:"defined-sets,omitzero" help:"What the conditions of policies name, as in GoBGP's configuration."`
	PolicyDefinition []Policy         `json:"policy-definitions,omitempty" help:"Route policies, as in GoBGP's configuration."`
}

// BGPNeighbor is a router that weft speaks BGP with: numbered by its Address, or
// unnumbered, whoever is found behind Interface.
type BGPNeighbor struct {
	Address         netip.Addr       `json:"address,omitzero" as:"gateway" help:"Its address. Or interface."`
	Interface       string           `json:"interface,omitempty" as:"dev" help:"Unnumbered: the interface behind which it is found by its router advertisements."`
	RemoteAS        RemoteAS         `json:"remote_as" need:"yes" help:"Its autonomous system: a number, external (any but ours) or internal."`
	LocalAS         uint32           `json:"local_as,omitempty" range:"1 4294967294" help:"Number of the autonomous system that we show it: as."`
	Description     string           `json:"description,omitempty" as:"line" help:"For people."`
	Password        string           `json:"password,omitempty" as:"password" help:"TCP MD5 (RFC 2385)."`
	LocalAddress    netip.Addr       `json:"local_address,omitzero" as:"gateway" help:"Our address in the session: by the route to it."`
	Port            uint16           `json:"port,omitempty" range:"1 65535" help:"TCP port that it listens on: 179."`
	Passive         bool             `json:"passive,omitempty" help:"Wait for it to connect: false."`
	Shutdown        bool             `json:"shutdown,omitempty" help:"Have no session: false."`
	EBGPMultihop    uint8            `json:"ebgp_multihop,omitempty" range:"1 255" help:"TTL towards an external neighbor that is not attached: 1."`
	TTLSecurity     uint8            `json:"ttl_security,omitempty" range:"1 254" help:"Hops that it may be away, so that nobody further away can interfere (RFC 5082): not checked."`
	Families        []Family         `json:"families" of:"ipv4-unicast ipv6-unicast" help:"Address families: that of its address; both of an unnumbered one."`
	Timers          BGPTimers        `json:"timers" help:"Timers."`
	GracefulRestart *GracefulRestart `json:"graceful_restart,omitempty" help:"Graceful restart (RFC 4724) with it."`
	ReflectorClient bool             `json:"route_reflector_client,omitempty" help:"We reflect routes to it (RFC 4456): false."`
	NextHopSelf     bool             `json:"next_hop_self,omitempty" help:"An internal one is told of external routes that the next hop is us: false."`
	AllowOwnAS      uint8            `json:"allow_own_as,omitempty" range:"1 10" help:"How often our own AS may be in its paths: 0."`
	AddPathReceive  bool             `json:"add_path_receive,omitempty" help:"Take several paths of a prefix (RFC 7911): false."`
	AddPathSend     uint8            `json:"add_path_send,omitempty" range:"1 32" help:"Send so many paths of a prefix (RFC 7911): only the best."`
	MaximumPrefixes uint32           `json:"maximum_prefixes,omitempty" range:"1 4294967295" help:"Prefixes of a family that it may send, else the session ends: any number."`
	ImportPolicy    []string         `json:"import_policy,omitempty" as:"name" help:"Policies for what it sends, in order."`
	ExportPolicy    []string         `json:"export_policy,omitempty" as:"name" help:"Policies for what it is sent, in order."`
	DefaultImport   Disposition      `json:"default_import,omitempty" of:"accept-route reject-route" help:"What becomes of what its import policies do not decide on: those of all neighbors decide."`
	DefaultExport   Disposition      `json:"default_export,omitempty" of:"accept-route reject-route" help:"What becomes of what its export policies do not decide on: those of all neighbors decide."`
}

// Name is what the neighbor is called: its address, or the interface.
func (n *BGPNeighbor) Name() string {
	if n.Interface != "" {
		return n.Interface
	}
	return n.Address.String()
}

// IsInternal reports whether the neighbor is to be of our own AS.
func (n *BGPNeighbor) IsInternal(c *BGP) bool {
	own := c.AS
	if n.LocalAS != 0 {
		own = n.LocalAS
	}
	return n.RemoteAS.Kind == RemoteInternal || n.RemoteAS.Number == own
}

// RemoteAS is a number, RemoteExternal or RemoteInternal.
type RemoteAS struct {
	Number uint32 `json:"number,omitempty"` // 0: Kind says
	Kind   string `json:"kind,omitempty"`
}

// Kinds of RemoteAS without a number.
const (
	RemoteExternal = "external" // any but our own
	RemoteInternal = "internal" // our own
)

// String returns what stands in a file.
func (r RemoteAS) String() string {
	if r.Kind != "" {
		return r.Kind
	}
	return strconv.FormatUint(uint64(r.Number), 10)
}

func (r *RemoteAS) parse(s string) error {
	if s == RemoteExternal || s == RemoteInternal {
		*r = RemoteAS{Kind: s}
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n == 1<<32-1 {
		return wrongf("want a number from 1 to 4294967294, external or internal", "%s: not an autonomous system", s)
	}
	*r = RemoteAS{Number: uint32(n)}
	return nil
}

// Family of addresses, in GoBGP's and OpenConfig's words.
type Family string

// Families.
const (
	IPv4Unicast Family = "ipv4-unicast"
	IPv6Unicast Family = "ipv6-unicast"
)

// BGPTimers are those of RFC 4271.
type BGPTimers struct {
	Hold         time.Duration `json:"hold" range:"3s 65535s" help:"How long without a message until the session ends, from 3s: 90s."`
	Keepalive    time.Duration `json:"keepalive" range:"1s 21845s" help:"How often a message is sent: a third of hold."`
	ConnectRetry time.Duration `json:"connect_retry" range:"2s 65535s" help:"How often to connect, from 2s: 10s."`
}

// GracefulRestart is RFC 4724: packets go on while one of the two daemons is
// started again. The zero value: not spoken.
type GracefulRestart struct {
	Enabled     bool          `json:"enabled" help:"Speak it: true."`
	HelperOnly  bool          `json:"helper_only,omitempty" help:"Keep the routes of a neighbor that restarts, and do not ask for the same: false."`
	RestartTime time.Duration `json:"restart_time,omitempty" range:"1s 4095s" help:"How long a neighbor is to keep our routes while we are away: 120s."`
	Deferral    time.Duration `json:"deferral_time,omitempty" range:"1s 3600s" help:"How long to wait after a restart for neighbors to send all they have: 120s."`
	LongLived   time.Duration `json:"long_lived_time,omitempty" range:"1s 16777215s" help:"How much longer stale routes are kept as a last resort (RFC 9494): not at all."`
}

// BGPNetwork is a prefix that is advertised while there is a route to it.
type BGPNetwork struct {
	Prefix netip.Prefix `json:"prefix" need:"yes" help:"The prefix."`
	Always bool         `json:"always,omitempty" help:"Also without a route to it: false."`
	Policy []string     `json:"policy,omitempty" as:"name" help:"Policies that it passes, which may change its attributes."`
}

// Redistribution advertises the routes of a source.
type Redistribution struct {
	Source string   `json:"source" need:"yes" of:"connected static kernel" help:"connected: subnets of our addresses; static: of this file; kernel: of 'ip route' and other daemons."`
	Policy []string `json:"policy,omitempty" as:"name" help:"Policies that they pass: all are advertised."`
}

// Sources of Redistribution.
const (
	RedistributeConnected = "connected" // subnets that interfaces have addresses in
	RedistributeStatic    = "static"    // of weft's configuration
	RedistributeKernel    = "kernel"    // others that the kernel has: of 'ip route', and of daemons
)

// Defaults of what a file need not say.
const (
	DefaultHoldTime     = 90 * time.Second
	DefaultConnectRetry = 10 * time.Second
	DefaultRestartTime  = 120 * time.Second
	DefaultDeferral     = 120 * time.Second
	DefaultBGPPort      = 179
)

func (b *BGP) preset() {
	*b = BGP{ListenPort: DefaultBGPPort, MaximumPaths: 1}
	b.GracefulRestart.preset()
}

func (g *GracefulRestart) preset() {
	*g = GracefulRestart{Enabled: true, RestartTime: DefaultRestartTime, Deferral: DefaultDeferral}
}

func (n *BGPNeighbor) preset() {
	*n = BGPNeighbor{Timers: BGPTimers{Hold: DefaultHoldTime, ConnectRetry: DefaultConnectRetry}}
}
