package bgp

import (
	"net/netip"
	"time"

	"weft/control/config"
)

// Config is what a Server works with.
type Config = config.BGP

// Status is what a Server does as a whole.
type Status struct {
	AS          uint32 // 0: the configuration has no BGP
	RouterID    netip.Addr
	Listen      []netip.AddrPort
	Neighbors   int
	Established int
	Restarting  bool              // it waits for neighbors to send again what they had sent before the restart
	Prefixes    map[string]uint64 // in the Loc-RIB, by family
	Paths       map[string]uint64 // likewise, when they were counted last
	Installed   uint64            // prefixes that the RIB was given
	Refused     uint64            // routes that the RIB does not take
	Pending     int               // prefixes that the RIB has not been given yet
}

// State is that of a session, in RFC 4271's words.
type State string

// States.
const (
	Idle        State = "idle"
	Connect     State = "connect"
	Active      State = "active"
	OpenSent    State = "opensent"
	OpenConfirm State = "openconfirm"
	Established State = "established"
)

// Neighbor is what is known of a neighbor.
type Neighbor struct {
	Name         string     // as the configuration has it: address, or interface
	Address      netip.Addr // invalid: unnumbered, and not found yet
	Interface    string     // of an unnumbered one
	Description  string
	Waiting      string // what an unnumbered one waits for; "": nothing
	LocalAddress netip.Addr
	LocalPort    uint16
	RemotePort   uint16
	AS           uint32 // 0: not known yet
	LocalAS      uint32
	Internal     bool
	RouterID     netip.Addr

	State         State
	Shutdown      bool      // by the configuration
	OverLimit     bool      // it has sent more prefixes than it may
	Refused       bool      // for that, or for what else LastError says: until it is cleared, or configured otherwise
	Since         time.Time // Established: since when; else when it went down; zero: it was never up
	Established   uint64    // how often it was
	Flaps         uint64
	LastDown      string // why the session ended
	LastError     string // of the last try: connection refused, bad peer AS
	Restarting    bool   // it restarts, and its paths are stale
	Capabilities  []Capability
	Families      []FamilyState
	Received      Messages
	Sent          Messages
	Timers        Timers
	Authenticated bool // TCP MD5
}

// FamilyState is what a neighbor has to do with one family.
type FamilyState struct {
	Family     config.Family
	Negotiated bool
	Received   uint64 // prefixes
	Accepted   uint64 // paths in the Loc-RIB: behind the import policies, and without our AS. FRR's PfxRcd
	Advertised uint64
	EndOfRIB   bool   // it has sent all that it has
	Maximum    uint32 // prefixes that it may send; 0: any number
}

// Messages counts what has gone one way.
type Messages struct {
	Open, Update, Notification, Keepalive, RouteRefresh, Total uint64
}

// Timers are as they were negotiated, zero if they were not.
type Timers struct {
	Hold         time.Duration
	Keepalive    time.Duration
	ConfigHold   time.Duration
	ConfigKeep   time.Duration
	ConnectRetry time.Duration
}

// Capability is one of RFC 5492.
type Capability struct {
	Code   uint8
	Name   string
	Text   string // its content: "ipv4-unicast"
	Local  bool   // advertised
	Remote bool   // received
}

// Reset says how a session is cleared.
type Reset uint8

// Resets.
const (
	Hard    Reset = iota // the session ends, and begins again
	SoftIn               // the import policies are applied again
	SoftOut              // the export policies are, and all is sent again
	Soft                 // both
)
