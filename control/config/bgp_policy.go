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
	PrefixSets   []PrefixSet    `json:"prefix-sets,omitempty" help:"Sets of prefixes."`
	NeighborSets []NeighborSet  `json:"neighbor-sets,omitempty" help:"Sets of neighbors."`
	BGP          BGPDefinedSets `json:"bgp-defined-sets,omitzero" help:"Sets of attributes."`
}

// PrefixSet is a set of prefixes of one family.
type PrefixSet struct {
	Name     string        `json:"prefix-set-name" need:"yes" as:"setname" help:"Name of the set."`
	Prefixes []PrefixMatch `json:"prefix-list,omitempty" help:"Prefixes, of one family."`
}

// PrefixMatch is a prefix, or those within it whose length is in a range.
type PrefixMatch struct {
	Prefix string `json:"ip-prefix" need:"yes" as:"prefix" help:"Prefix."`
	Range  string `json:"masklength-range,omitempty" as:"lengths" help:"Also the prefixes within it with lengths like 21..24."` // "21..24"
}

// NeighborSet is a set of neighbors: addresses, prefixes, and interfaces of unnumbered
// ones.
type NeighborSet struct {
	Name      string   `json:"neighbor-set-name" need:"yes" as:"setname" help:"Name of the set."`
	Neighbors []string `json:"neighbor-info-list,omitempty" as:"peer" help:"Addresses, prefixes, or interfaces of unnumbered neighbors."`
}

// BGPDefinedSets are sets of attributes: regular expressions, or values.
type BGPDefinedSets struct {
	Communities      []CommunitySet      `json:"community-sets,omitempty" help:"Sets of communities."`
	ExtCommunities   []ExtCommunitySet   `json:"ext-community-sets,omitempty" help:"Sets of extended communities."`
	LargeCommunities []LargeCommunitySet `json:"large-community-sets,omitempty" help:"Sets of large communities."`
	ASPaths          []ASPathSet         `json:"as-path-sets,omitempty" help:"Sets of AS paths."`
}

// CommunitySet is a set of communities, "65000:100".
type CommunitySet struct {
	Name string   `json:"community-set-name" need:"yes" as:"setname" help:"Name of the set."`
	List []string `json:"community-list,omitempty" as:"expression" help:"Communities like 65000:100, or regular expressions."`
}

// ExtCommunitySet is a set of extended communities, "rt:65000:100".
type ExtCommunitySet struct {
	Name string   `json:"ext-community-set-name" need:"yes" as:"setname" help:"Name of the set."`
	List []string `json:"ext-community-list,omitempty" as:"expression" help:"Extended communities like rt:65000:100, or regular expressions."`
}

// LargeCommunitySet is a set of large communities, "65000:1:2".
type LargeCommunitySet struct {
	Name string   `json:"large-community-set-name" need:"yes" as:"setname" help:"Name of the set."`
	List []string `json:"large-community-list,omitempty" as:"expression" help:"Large communities like 65000:1:2, or regular expressions."`
}

// ASPathSet is a set of AS paths, "^65100".
type ASPathSet struct {
	Name string   `json:"as-path-set-name" need:"yes" as:"setname" help:"Name of the set."`
	List []string `json:"as-path-list,omitempty" as:"expression" help:"Regular expressions like ^65100_."`
}

// Policy is a list of statements: the first that accepts or rejects decides.
type Policy struct {
	Name       string      `json:"name" need:"yes" as:"setname" help:"Name of the policy."`
	Statements []Statement `json:"statements,omitempty" help:"Statements, in order."`
}

// Statement does its actions to the routes that meet all of its conditions.
type Statement struct {
	Name       string     `json:"name,omitempty" as:"line" help:"Name, for people."`
	Conditions Conditions `json:"conditions,omitzero" help:"Which routes: those that meet all."`
	Actions    Actions    `json:"actions,omitzero" help:"What is done to them."`
}

// Conditions of a Statement. None: all routes.
type Conditions struct {
	PrefixSet   MatchPrefixSet   `json:"match-prefix-set,omitzero" help:"The prefix is in a set."`
	NeighborSet MatchNeighborSet `json:"match-neighbor-set,omitzero" help:"The neighbor is in a set."`
	BGP         BGPConditions    `json:"bgp-conditions,omitzero" help:"About attributes."`
}

// MatchPrefixSet asks whether the prefix is in a set.
type MatchPrefixSet struct {
	Set     string `json:"prefix-set" need:"yes" as:"setname" help:"Name of the set."`
	Options string `json:"match-set-options,omitempty" of:"any invert" help:"How: any."` // any, invert
}

// MatchNeighborSet asks for the neighbor that a route comes from, or goes to.
type MatchNeighborSet struct {
	Set     string `json:"neighbor-set" need:"yes" as:"setname" help:"Name of the set."`
	Options string `json:"match-set-options,omitempty" of:"any invert" help:"How: any."` // any, invert
}

// BGPConditions are those about attributes.
type BGPConditions struct {
	Community      MatchCommunitySet      `json:"match-community-set,omitzero" help:"Communities."`
	ExtCommunity   MatchExtCommunitySet   `json:"match-ext-community-set,omitzero" help:"Extended communities."`
	LargeCommunity MatchLargeCommunitySet `json:"match-large-community-set,omitzero" help:"Large communities."`
	ASPath         MatchASPathSet         `json:"match-as-path-set,omitzero" help:"AS path."`
	ASPathLength   Comparison             `json:"as-path-length,omitzero" help:"Length of the AS path."`
	CommunityCount Comparison             `json:"community-count,omitzero" help:"Number of communities."`
	RouteType      string                 `json:"route-type,omitempty" of:"internal external local" help:"Where the route is from."` // internal, external, local
	NextHops       []string               `json:"next-hop-in-list,omitempty" as:"peer" help:"Next hops, or prefixes of them."`
	Families       []Family               `json:"afi-safi-in-list,omitempty" of:"ipv4-unicast ipv6-unicast" help:"Address families."`
	Origin         string                 `json:"origin-eq,omitempty" of:"igp egp incomplete" help:"Origin."` // igp, egp, incomplete
	LocalPref      *uint32                `json:"local-pref-eq,omitempty" range:"1 4294967295" help:"LOCAL_PREF."`
	MED            *uint32                `json:"med-eq,omitempty" range:"1 4294967295" help:"MULTI_EXIT_DISC."`
}

// MatchCommunitySet asks for communities.
type MatchCommunitySet struct {
	Set     string `json:"community-set" need:"yes" as:"setname" help:"Name of the set."`
	Options string `json:"match-set-options,omitempty" of:"any all invert" help:"How: any."` // any, all, invert
}

// MatchExtCommunitySet asks for extended communities.
type MatchExtCommunitySet struct {
	Set     string `json:"ext-community-set" need:"yes" as:"setname" help:"Name of the set."`
	Options string `json:"match-set-options,omitempty" of:"any all invert" help:"How: any."`
}

// MatchLargeCommunitySet asks for large communities.
type MatchLargeCommunitySet struct {
	Set     string `json:"large-community-set" need:"yes" as:"setname" help:"Name of the set."`
	Options string `json:"match-set-options,omitempty" of:"any all invert" help:"How: any."`
}

// MatchASPathSet asks for the AS path.
type MatchASPathSet struct {
	Set     string `json:"as-path-set" need:"yes" as:"setname" help:"Name of the set."`
	Options string `json:"match-set-options,omitempty" of:"any all invert" help:"How: any."`
}

// Comparison compares a number.
type Comparison struct {
	Operator string `json:"operator" need:"yes" of:"eq ge le" help:"Comparison."` // eq, ge, le
	Value    uint32 `json:"value" need:"yes" range:"0 4294967295" help:"With what."`
}

// Actions of a Statement.
type Actions struct {
	Disposition Disposition `json:"route-disposition,omitempty" of:"accept-route reject-route" help:"The end: without it the next statement goes on."` // "": the next statement goes on
	BGP         BGPActions  `json:"bgp-actions,omitzero" help:"Changes of attributes."`
}

// BGPActions change attributes.
type BGPActions struct {
	Prepend        ASPathPrepend     `json:"set-as-path-prepend,omitzero" help:"Put an AS before the path."`
	Community      SetCommunity      `json:"set-community,omitzero" help:"Communities."`
	ExtCommunity   SetExtCommunity   `json:"set-ext-community,omitzero" help:"Extended communities."`
	LargeCommunity SetLargeCommunity `json:"set-large-community,omitzero" help:"Large communities."`
	Origin         string            `json:"set-route-origin,omitempty" of:"igp egp incomplete" help:"Origin."` // igp, egp, incomplete
	LocalPref      *uint32           `json:"set-local-pref,omitempty" range:"1 4294967295" help:"LOCAL_PREF."`
	NextHop        string            `json:"set-next-hop,omitempty" as:"nexthop" help:"An address, self, unchanged or peer-address."` // an address, self, unchanged, peer-address
	MED            string            `json:"set-med,omitempty" as:"med" help:"A value like 100, or a change like +10."`               // "100", "+10", "-10"
}

// ASPathPrepend puts an AS before the path.
type ASPathPrepend struct {
	Repeat uint8  `json:"repeat-n" need:"yes" range:"1 255" help:"How often."`
	AS     string `json:"as" need:"yes" as:"prepend" help:"A number, or last-as."` // a number, or last-as
}

// CommunityList is what an action works with.
type CommunityList struct {
	Communities []string `json:"communities-list,omitempty" as:"expression" help:"Communities."`
}

// SetCommunity changes communities.
type SetCommunity struct {
	Method  CommunityList `json:"set-community-method,omitzero" help:"Which."`
	Options string        `json:"options" need:"yes" of:"add remove replace" help:"What is done."` // add, remove, replace
}

// SetExtCommunity changes extended communities.
type SetExtCommunity struct {
	Method  CommunityList `json:"set-ext-community-method,omitzero" help:"Which."`
	Options string        `json:"options" need:"yes" of:"add remove replace" help:"What is done."`
}

// SetLargeCommunity changes large communities.
type SetLargeCommunity struct {
	Method  CommunityList `json:"set-large-community-method,omitzero" help:"Which."`
	Options string        `json:"options" need:"yes" of:"add remove replace" help:"What is done."`
}
