package config

// Route policies are GoBGP's, with the names and keys of its configuration file
// (docs/sources/policy.md there), so that what works there works here.

// Disposition says what becomes of a route.
type Disposition string

// Dispositions.
const (
	Accept Disposition = "accept-route"
	Reject Disposition = "reject-route"
)

// DefinedSets are what conditions name.
type DefinedSets struct {
	PrefixSets   []PrefixSet    `json:"prefix-sets,omitempty"`
	NeighborSets []NeighborSet  `json:"neighbor-sets,omitempty"`
	BGP          BGPDefinedSets `json:"bgp-defined-sets,omitzero"`
}

// PrefixSet is a set of prefixes of one family.
type PrefixSet struct {
	Name     string        `json:"prefix-set-name"`
	Prefixes []PrefixMatch `json:"prefix-list,omitempty"`
}

// PrefixMatch is a prefix, or those within it whose length is in a range.
type PrefixMatch struct {
	Prefix string `json:"ip-prefix"`
	Range  string `json:"masklength-range,omitempty"` // "21..24"
}

// NeighborSet is a set of neighbors: addresses, prefixes, and interfaces of unnumbered
// ones.
type NeighborSet struct {
	Name      string   `json:"neighbor-set-name"`
	Neighbors []string `json:"neighbor-info-list,omitempty"`
}

// BGPDefinedSets are sets of attributes: regular expressions, or values.
type BGPDefinedSets struct {
	Communities      []CommunitySet      `json:"community-sets,omitempty"`
	ExtCommunities   []ExtCommunitySet   `json:"ext-community-sets,omitempty"`
	LargeCommunities []LargeCommunitySet `json:"large-community-sets,omitempty"`
	ASPaths          []ASPathSet         `json:"as-path-sets,omitempty"`
}

// CommunitySet is a set of communities, "65000:100".
type CommunitySet struct {
	Name string   `json:"community-set-name"`
	List []string `json:"community-list,omitempty"`
}

// ExtCommunitySet is a set of extended communities, "rt:65000:100".
type ExtCommunitySet struct {
	Name string   `json:"ext-community-set-name"`
	List []string `json:"ext-community-list,omitempty"`
}

// LargeCommunitySet is a set of large communities, "65000:1:2".
type LargeCommunitySet struct {
	Name string   `json:"large-community-set-name"`
	List []string `json:"large-community-list,omitempty"`
}

// ASPathSet is a set of AS paths, "^65100".
type ASPathSet struct {
	Name string   `json:"as-path-set-name"`
	List []string `json:"as-path-list,omitempty"`
}

// Policy is a list of statements: the first that accepts or rejects decides.
type Policy struct {
	Name       string      `json:"name"`
	Statements []Statement `json:"statements,omitempty"`
}

// Statement does its actions to the routes that meet all of its conditions.
type Statement struct {
	Name       string     `json:"name,omitempty"`
	Conditions Conditions `json:"conditions,omitzero"`
	Actions    Actions    `json:"actions,omitzero"`
}

// Conditions of a Statement. None: all routes.
type Conditions struct {
	PrefixSet   MatchPrefixSet   `json:"match-prefix-set,omitzero"`
	NeighborSet MatchNeighborSet `json:"match-neighbor-set,omitzero"`
	BGP         BGPConditions    `json:"bgp-conditions,omitzero"`
}

// MatchPrefixSet asks whether the prefix is in a set.
type MatchPrefixSet struct {
	Set     string `json:"prefix-set"`
	Options string `json:"match-set-options,omitempty"` // any, invert
}

// MatchNeighborSet asks for the neighbor that a route comes from, or goes to.
type MatchNeighborSet struct {
	Set     string `json:"neighbor-set"`
	Options string `json:"match-set-options,omitempty"` // any, invert
}

// BGPConditions are those about attributes.
type BGPConditions struct {
	Community      MatchCommunitySet      `json:"match-community-set,omitzero"`
	ExtCommunity   MatchExtCommunitySet   `json:"match-ext-community-set,omitzero"`
	LargeCommunity MatchLargeCommunitySet `json:"match-large-community-set,omitzero"`
	ASPath         MatchASPathSet         `json:"match-as-path-set,omitzero"`
	ASPathLength   Comparison             `json:"as-path-length,omitzero"`
	CommunityCount Comparison             `json:"community-count,omitzero"`
	RouteType      string                 `json:"route-type,omitempty"` // internal, external, local
	NextHops       []string               `json:"next-hop-in-list,omitempty"`
	Families       []Family               `json:"afi-safi-in-list,omitempty"`
	Origin         string                 `json:"origin-eq,omitempty"` // igp, egp, incomplete
	LocalPref      *uint32                `json:"local-pref-eq,omitempty"`
	MED            *uint32                `json:"med-eq,omitempty"`
}

// MatchCommunitySet asks for communities.
type MatchCommunitySet struct {
	Set     string `json:"community-set"`
	Options string `json:"match-set-options,omitempty"` // any, all, invert
}

// MatchExtCommunitySet asks for extended communities.
type MatchExtCommunitySet struct {
	Set     string `json:"ext-community-set"`
	Options string `json:"match-set-options,omitempty"`
}

// MatchLargeCommunitySet asks for large communities.
type MatchLargeCommunitySet struct {
	Set     string `json:"large-community-set"`
	Options string `json:"match-set-options,omitempty"`
}

// MatchASPathSet asks for the AS path.
type MatchASPathSet struct {
	Set     string `json:"as-path-set"`
	Options string `json:"match-set-options,omitempty"`
}

// Comparison compares a number.
type Comparison struct {
	Operator string `json:"operator"` // eq, ge, le
	Value    uint32 `json:"value"`
}

// Actions of a Statement.
type Actions struct {
	Disposition Disposition `json:"route-disposition,omitempty"` // "": the next statement goes on
	BGP         BGPActions  `json:"bgp-actions,omitzero"`
}

// BGPActions change attributes.
type BGPActions struct {
	Prepend        ASPathPrepend     `json:"set-as-path-prepend,omitzero"`
	Community      SetCommunity      `json:"set-community,omitzero"`
	ExtCommunity   SetExtCommunity   `json:"set-ext-community,omitzero"`
	LargeCommunity SetLargeCommunity `json:"set-large-community,omitzero"`
	Origin         string            `json:"set-route-origin,omitempty"` // igp, egp, incomplete
	LocalPref      *uint32           `json:"set-local-pref,omitempty"`
	NextHop        string            `json:"set-next-hop,omitempty"` // an address, self, unchanged, peer-address
	MED            string            `json:"set-med,omitempty"`      // "100", "+10", "-10"
}

// ASPathPrepend puts an AS before the path.
type ASPathPrepend struct {
	Repeat uint8  `json:"repeat-n"`
	AS     string `json:"as"` // a number, or last-as
}

// CommunityList is what an action works with.
type CommunityList struct {
	Communities []string `json:"communities-list,omitempty"`
}

// SetCommunity changes communities.
type SetCommunity struct {
	Method  CommunityList `json:"set-community-method,omitzero"`
	Options string        `json:"options"` // add, remove, replace
}

// SetExtCommunity changes extended communities.
type SetExtCommunity struct {
	Method  CommunityList `json:"set-ext-community-method,omitzero"`
	Options string        `json:"options"`
}

// SetLargeCommunity changes large communities.
type SetLargeCommunity struct {
	Method  CommunityList `json:"set-large-community-method,omitzero"`
	Options string        `json:"options"`
}
