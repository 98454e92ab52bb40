package bgp

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"weft/control/config"
)

// Table is one of the sets of paths that RFC 4271 names.
type Table uint8

// Tables.
const (
	LocRIB Table = iota // what is chosen from
	AdjIn               // what a neighbor has sent, before the import policies
	AdjOut              // what a neighbor is sent, behind the export policies
)

// String returns the name that people read.
func (t Table) String() string { return [...]string{"loc-rib", "adj-rib-in", "adj-rib-out"}[t] }

// Filter says which paths are asked for.
type Filter struct {
	Table    Table
	Neighbor string        // by its name; needed for AdjIn and AdjOut. Of LocRIB: only paths from it
	Family   config.Family // "": that of Prefix, or both
	Prefix   netip.Prefix  // invalid: all
	Longer   bool          // also the prefixes within Prefix
	Best     bool          // only those that are used
}

// Path is one way to a prefix.
type Path struct {
	Prefix    netip.Prefix
	NextHop   netip.Addr // invalid, or unspecified: the route is weft's own
	Interface string     // of a link-local NextHop
	Neighbor  string     // name of who has sent it; "": weft itself
	From      netip.Addr // its address
	RouterID  netip.Addr // its identifier
	PathID    uint32     // RFC 7911

	Best     bool // used, alone or with others
	Valid    bool // it may be chosen
	Stale    bool // of a neighbor that restarts
	Filtered bool // AdjIn: not in the Loc-RIB: refused by the import policies, or for our AS in its path
	Internal bool // of an internal neighbor

	Since            time.Time // when it came
	ASPath           []Segment
	Origin           string // igp, egp, incomplete
	MED              *uint32
	LocalPref        *uint32
	Communities      []string // "65000:100", or a well-known name
	LargeCommunities []string
	ExtCommunities   []string
	OriginatorID     netip.Addr   // RFC 4456
	Clusters         []netip.Addr // RFC 4456
	AtomicAggregate  bool
	Aggregator       string // "65000 192.0.2.1"
}

// Segment is a part of an AS path.
type Segment struct {
	Kind SegmentKind
	AS   []uint32
}

// SegmentKind tells segments apart.
type SegmentKind uint8

// Kinds of segments, as RFC 4271 and RFC 5065 number them.
const (
	Set            SegmentKind = 1
	Sequence       SegmentKind = 2
	ConfedSequence SegmentKind = 3
	ConfedSet      SegmentKind = 4
)

// String returns the segment as looking glasses show it: "65001 65002", "{65001,65002}".
func (s Segment) String() string {
	open, between, end := "", " ", ""
	switch s.Kind {
	case Set:
		open, between, end = "{", ",", "}"
	case ConfedSequence:
		open, end = "(", ")"
	case ConfedSet:
		open, between, end = "[", ",", "]"
	}
	return open + strings.Trim(strings.ReplaceAll(fmt.Sprint(s.AS), " ", between), "[]") + end
}

// ASPathText returns the AS path as looking glasses show it.
func (p *Path) ASPathText() string {
	var all []string
	for _, s := range p.ASPath {
		all = append(all, s.String())
	}
	return strings.Join(all, " ")
}
