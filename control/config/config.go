package config

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Version is the version of the file's format that this package reads.
const Version = 1

// Config is a configuration: plain data in canonical form. Two that mean the same
// are equal. The zero value is not the default one: Default is.
type Config struct {
	Preferences Preferences      `json:"preferences"`
	Ports       []Port           `json:"ports,omitempty"` // the first that matches counts
	FPM         FPM              `json:"fpm,omitzero"`
	BGP         *BGP             `json:"bgp,omitempty"`    // nil: none
	Groups      map[string][]Hop `json:"groups,omitempty"` // next-hop groups by name
	Routes      []Route          `json:"routes,omitempty"`
	Neighbors   []Neighbor       `json:"neighbors,omitempty"`
}

// Preferences are the administrative preferences of sources: the kernel's metric
// of their routes. Of two routes for one prefix, the one with the lower is taken.
type Preferences struct {
	Static uint32 `json:"static"`
	EBGP   uint32 `json:"ebgp"`
	IBGP   uint32 `json:"ibgp"`
	FPM    uint32 `json:"fpm"`
}

// FPM says where FRR's zebra brings its routes. The zero value: nowhere.
type FPM struct {
	Listen netip.AddrPort `json:"listen,omitzero"`
	Hold   time.Duration  `json:"hold,omitempty"` // how long routes stay after zebra has gone
}

// Kind says what becomes of packets that a route is for, in iproute2's words.
type Kind string

// Kinds of routes.
const (
	Unicast     Kind = "unicast"
	Blackhole   Kind = "blackhole"
	Unreachable Kind = "unreachable"
	Prohibit    Kind = "prohibit"
)

var kinds = []string{string(Unicast), string(Blackhole), string(Unreachable), string(Prohibit)}

// Route is a static route. Prefix, VRF, Table and Preference tell two apart.
type Route struct {
	Prefix     netip.Prefix `json:"prefix"`               // masked
	VRF        string       `json:"vrf,omitempty"`        // name of the VRF's link; "": none
	Table      uint32       `json:"table,omitempty"`      // of the kernel; 0: main, or the VRF's
	Kind       Kind         `json:"kind"`                 //
	Group      string       `json:"group,omitempty"`      // a name in Config.Groups; "": Hops
	Hops       []Hop        `json:"hops,omitempty"`       // of a unicast route without a group
	Preference uint32       `json:"preference,omitempty"` // 0: that of Preferences.Static
}

// Hop is a next hop. Via without Dev is looked up; Dev without Via is attached.
type Hop struct {
	Via    netip.Addr `json:"via,omitzero"`
	Dev    string     `json:"dev,omitempty"`
	Weight uint32     `json:"weight"` // 1 to MaxWeight
}

// Neighbor is a neighbor that need not be asked for its address.
type Neighbor struct {
	Addr   netip.Addr `json:"addr"`
	Dev    string     `json:"dev"`
	Lladdr string     `json:"lladdr"` // lower case, with colons
}

// Bounds of what a configuration holds.
const (
	MaxWeight = 256 // of a next hop, as the kernel has it
	MaxHops   = 256 // of a route or a group

	tableMain = 254
)

// Defaults of what a file need not say.
const (
	DefaultHold = 120 * time.Second
)

// Default returns the configuration of an empty file.
func Default() *Config {
	return &Config{Preferences: Preferences{Static: 1, EBGP: 20, IBGP: 200, FPM: 20}}
}

// Static returns the static routes as they are to be installed: with the next
// hops of their groups and with their preference.
func (c *Config) Static() []Route {
	routes := slices.Clone(c.Routes)
	for i := range routes {
		r := &routes[i]
		if r.Group != "" {
			r.Hops, r.Group = c.Groups[r.Group], ""
		}
		if r.Preference == 0 {
			r.Preference = c.Preferences.Static
		}
	}
	return routes
}

// canonical puts a configuration into the form in which equal ones are equal.
func (c *Config) canonical() {
	if len(c.Groups) == 0 {
		c.Groups = nil
	}
	for _, hops := range c.Groups {
		slices.SortFunc(hops, compareHops)
	}
	for i := range c.Routes {
		slices.SortFunc(c.Routes[i].Hops, compareHops)
	}
	c.BGP.canonical()
	slices.SortFunc(c.Routes, func(a, b Route) int { return compareKeys(a.key(), b.key()) })
	slices.SortFunc(c.Neighbors, func(a, b Neighbor) int {
		return cmp.Or(cmp.Compare(a.Dev, b.Dev), a.Addr.Compare(b.Addr))
	})
}

func compareHops(a, b Hop) int {
	return cmp.Or(a.Via.Compare(b.Via), cmp.Compare(a.Dev, b.Dev))
}

// routeKey tells routes apart.
type routeKey struct {
	vrf        string
	table      uint32
	prefix     netip.Prefix
	preference uint32
}

func (r *Route) key() routeKey { return routeKey{r.VRF, r.Table, r.Prefix, r.Preference} }

func compareKeys(a, b routeKey) int {
	return cmp.Or(cmp.Compare(a.vrf, b.vrf), cmp.Compare(a.table, b.table), a.prefix.Compare(b.prefix), cmp.Compare(a.preference, b.preference))
}

// effective is a key with the preference that counts: routes with the same one
// exclude each other.
func (c *Config) effective(k routeKey) routeKey {
	if k.preference == 0 {
		k.preference = c.Preferences.Static
	}
	return k
}

type neighborKey struct {
	addr netip.Addr
	dev  string
}

func (n *Neighbor) key() neighborKey { return neighborKey{n.Addr, n.Dev} }
