package config

import (
	"net/netip"
	"time"
)

// BGP is a BGP router of weft's own.
type BGP struct {
	AS               uint32           `json:"as"`
	RouterID         netip.Addr       `json:"router_id,omitzero"`         // invalid: the highest IPv4 address of the machine
	ListenPort       uint16           `json:"listen_port"`                // 0: takes no connections
	ListenAddresses  []netip.Addr     `json:"listen_addresses,omitempty"` // none: all
	MaximumPaths     uint32           `json:"maximum_paths"`              // width of ECMP; 1: none
	GracefulRestart  GracefulRestart  `json:"graceful_restart,omitzero"`  // of neighbors without one of their own
	Neighbors        []BGPNeighbor    `json:"neighbors,omitempty"`
	Networks         []BGPNetwork     `json:"networks,omitempty"`
	Redistribute     []Redistribution `json:"redistribute,omitempty"`
	ImportPolicy     []string         `json:"import_policy,omitempty"` // of all neighbors, behind their own
	ExportPolicy     []string         `json:"export_policy,omitempty"`
	DefaultImport    Disposition      `json:"default_import,omitempty"` // of what no policy decides; "": accept-route
	DefaultExport    Disposition      `json:"default_export,omitempty"`
	DefinedSets      DefinedSets      `json:"defined-sets,omitzero"`
	PolicyDefinition []Policy         `json:"policy-definitions,omitempty"`
}

// BGPNeighbor is a router that weft speaks BGP with: numbered by its Address, or
// unnumbered, whoever is found behind Interface.
type BGPNeighbor struct {
	Address         netip.Addr       `json:"address,omitzero"`
	Interface       string           `json:"interface,omitempty"`
	RemoteAS        RemoteAS         `json:"remote_as"`
	LocalAS         uint32           `json:"local_as,omitempty"`
	Description     string           `json:"description,omitempty"`
	Password        string           `json:"password,omitempty"` // TCP MD5, RFC 2385
	LocalAddress    netip.Addr       `json:"local_address,omitzero"`
	Port            uint16           `json:"port,omitempty"` // that it listens on; 0: 179
	Passive         bool             `json:"passive,omitempty"`
	Shutdown        bool             `json:"shutdown,omitempty"`
	EBGPMultihop    uint8            `json:"ebgp_multihop,omitempty"` // TTL; 0: it is attached
	TTLSecurity     uint8            `json:"ttl_security,omitempty"`  // hops that it may be away, RFC 5082; 0: not checked
	Families        []Family         `json:"families"`
	Timers          BGPTimers        `json:"timers"`
	GracefulRestart *GracefulRestart `json:"graceful_restart,omitempty"` // nil: that of BGP
	ReflectorClient bool             `json:"route_reflector_client,omitempty"`
	NextHopSelf     bool             `json:"next_hop_self,omitempty"`
	AllowOwnAS      uint8            `json:"allow_own_as,omitempty"`
	AddPathReceive  bool             `json:"add_path_receive,omitempty"`
	AddPathSend     uint8            `json:"add_path_send,omitempty"` // paths of a prefix, at most
	MaximumPrefixes uint32           `json:"maximum_prefixes,omitempty"`
	ImportPolicy    []string         `json:"import_policy,omitempty"`
	ExportPolicy    []string         `json:"export_policy,omitempty"`
	DefaultImport   Disposition      `json:"default_import,omitempty"` // "": go on with the policies of BGP
	DefaultExport   Disposition      `json:"default_export,omitempty"`
}

// Name is what the neighbor is called: its address, or the interface.
func (n *BGPNeighbor) Name() string {
	if n.Interface != "" {
		return n.Interface
	}
	return n.Address.String()
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

// Family of addresses, in GoBGP's and OpenConfig's words.
type Family string

// Families.
const (
	IPv4Unicast Family = "ipv4-unicast"
	IPv6Unicast Family = "ipv6-unicast"
)

// BGPTimers are those of RFC 4271.
type BGPTimers struct {
	Hold         time.Duration `json:"hold"`
	Keepalive    time.Duration `json:"keepalive"`
	ConnectRetry time.Duration `json:"connect_retry"`
}

// GracefulRestart is RFC 4724: packets go on while one of the two daemons is
// started again. The zero value: not spoken.
type GracefulRestart struct {
	Enabled     bool          `json:"enabled,omitempty"`
	HelperOnly  bool          `json:"helper_only,omitempty"` // keep what a neighbor had that restarts, and do not ask for the same
	RestartTime time.Duration `json:"restart_time,omitempty"`
	Deferral    time.Duration `json:"deferral,omitempty"`   // after a restart: how long to wait for neighbors at most
	LongLived   time.Duration `json:"long_lived,omitempty"` // RFC 9494; 0: not spoken
}

// BGPNetwork is a prefix that is advertised while there is a route to it.
type BGPNetwork struct {
	Prefix netip.Prefix `json:"prefix"`
	Always bool         `json:"always,omitempty"` // also without one
	Policy []string     `json:"policy,omitempty"`
}

// Redistribution advertises the routes of a source.
type Redistribution struct {
	Source string   `json:"source"`
	Policy []string `json:"policy,omitempty"` // none: all of them
}

// Sources of Redistribution.
const (
	RedistributeConnected = "connected" // subnets that interfaces have addresses in
	RedistributeStatic    = "static"    // of weft's configuration
	RedistributeKernel    = "kernel"    // others that the kernel has: of 'ip route', and of daemons
)
