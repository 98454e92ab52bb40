package bgp

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/config/oc"

	"weft/control/config"
)

// defineSets translates what conditions name.
func (k *compiler) defineSets() error {
	d := &k.config.DefinedSets
	for _, s := range d.PrefixSets {
		set := &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_PREFIX, Name: s.Name}
		for _, p := range s.Prefixes {
			least, most, err := oc.ParseMaskLength(p.Prefix, p.Range)
			if err != nil {
				return fmt.Errorf("prefix set %s: %w", s.Name, err)
			}
			set.Prefixes = append(set.Prefixes, &api.Prefix{IpPrefix: p.Prefix, MaskLengthMin: uint32(least), MaskLengthMax: uint32(most)})
		}
		k.sets = append(k.sets, set)
	}
	for _, s := range d.NeighborSets {
		var list []netip.Prefix
		for _, text := range s.Neighbors {
			p, ok, err := k.parseNeighbor(text)
			if err != nil {
				return fmt.Errorf("neighbor set %s: %w", s.Name, err)
			}
			if ok {
				list = append(list, p)
			}
		}
		k.defineNeighbors(s.Name, list)
	}
	define := func(t api.DefinedType, name string, list []string) {
		k.sets = append(k.sets, &api.DefinedSet{DefinedType: t, Name: name, List: list})
	}
	for _, s := range d.BGP.Communities {
		define(api.DefinedType_DEFINED_TYPE_COMMUNITY, s.Name, s.List)
	}
	for _, s := range d.BGP.ExtCommunities {
		define(api.DefinedType_DEFINED_TYPE_EXT_COMMUNITY, s.Name, s.List)
	}
	for _, s := range d.BGP.LargeCommunities {
		define(api.DefinedType_DEFINED_TYPE_LARGE_COMMUNITY, s.Name, s.List)
	}
	for _, s := range d.BGP.ASPaths {
		define(api.DefinedType_DEFINED_TYPE_AS_PATH, s.Name, s.List)
	}
	for i := range k.markSets() {
		define(api.DefinedType_DEFINED_TYPE_LARGE_COMMUNITY, markText(i+1), []string{"^" + markText(i+1) + "$"})
	}
	return nil
}

// statement translates a statement.
func (k *compiler) statement(s *config.Statement) (*api.Statement, error) {
	c, err := k.conditions(&s.Conditions)
	if err != nil {
		return nil, err
	}
	a, err := actions(&s.Actions)
	return &api.Statement{Conditions: c, Actions: a}, err
}

var matchTypes = map[string]api.MatchSet_Type{
	"": api.MatchSet_TYPE_ANY, "any": api.MatchSet_TYPE_ANY, "all": api.MatchSet_TYPE_ALL, "invert": api.MatchSet_TYPE_INVERT,
}

func matchSet(name, options string) *api.MatchSet {
	if name == "" {
		return nil
	}
	return &api.MatchSet{Type: matchTypes[options], Name: name}
}

var comparisons = map[string]api.Comparison{
	"eq": api.Comparison_COMPARISON_EQ, "ge": api.Comparison_COMPARISON_GE, "le": api.Comparison_COMPARISON_LE,
}

var routeTypes = map[string]api.Conditions_RouteType{
	"internal": api.Conditions_ROUTE_TYPE_INTERNAL, "external": api.Conditions_ROUTE_TYPE_EXTERNAL, "local": api.Conditions_ROUTE_TYPE_LOCAL,
}

var originTypes = map[string]api.OriginType{
	"igp": api.OriginType_ORIGIN_TYPE_IGP, "egp": api.OriginType_ORIGIN_TYPE_EGP, "incomplete": api.OriginType_ORIGIN_TYPE_INCOMPLETE,
}

func (k *compiler) conditions(c *config.Conditions) (*api.Conditions, error) {
	b := &c.BGP
	to := &api.Conditions{
		PrefixSet:         matchSet(c.PrefixSet.Set, c.PrefixSet.Options),
		NeighborSet:       matchSet(c.NeighborSet.Set, c.NeighborSet.Options),
		CommunitySet:      matchSet(b.Community.Set, b.Community.Options),
		ExtCommunitySet:   matchSet(b.ExtCommunity.Set, b.ExtCommunity.Options),
		LargeCommunitySet: matchSet(b.LargeCommunity.Set, b.LargeCommunity.Options),
		AsPathSet:         matchSet(b.ASPath.Set, b.ASPath.Options),
		RouteType:         routeTypes[b.RouteType],
		NextHopInList:     b.NextHops,
		Origin:            originTypes[b.Origin],
	}
	if m := to.NeighborSet; m != nil {
		if _, ok := k.neighbors[m.Name]; !ok {
			return nil, fmt.Errorf("neighbor set %s is not there: add it to defined-sets", m.Name)
		}
	}
	if !isZero(b.ASPathLength) {
		to.AsPathLength = &api.AsPathLength{Type: comparisons[b.ASPathLength.Operator], Length: b.ASPathLength.Value}
	}
	if !isZero(b.CommunityCount) {
		to.CommunityCount = &api.CommunityCount{Type: comparisons[b.CommunityCount.Operator], Count: b.CommunityCount.Value}
	}
	for _, f := range b.Families {
		to.AfiSafiIn = append(to.AfiSafiIn, apiutil.ToApiFamily(families[f].Afi(), families[f].Safi()))
	}
	if b.LocalPref != nil {
		to.LocalPrefEq = &api.LocalPrefEq{Value: *b.LocalPref}
	}
	if b.MED != nil {
		to.MedEq = &api.MedEq{Value: *b.MED}
	}
	return to, nil
}

var communityActions = map[string]api.CommunityAction_Type{
	"add": api.CommunityAction_TYPE_ADD, "remove": api.CommunityAction_TYPE_REMOVE, "replace": api.CommunityAction_TYPE_REPLACE,
}

func communityAction(options string, list []string) *api.CommunityAction {
	if options == "" {
		return nil
	}
	return &api.CommunityAction{Type: communityActions[options], Communities: list}
}

func actions(a *config.Actions) (*api.Actions, error) {
	b := &a.BGP
	to := &api.Actions{
		Community:      communityAction(b.Community.Options, b.Community.Method.Communities),
		ExtCommunity:   communityAction(b.ExtCommunity.Options, b.ExtCommunity.Method.Communities),
		LargeCommunity: communityAction(b.LargeCommunity.Options, b.LargeCommunity.Method.Communities),
	}
	if a.Disposition != "" {
		to.RouteAction = disposition(a.Disposition).RouteAction
	}
	if b.LocalPref != nil {
		to.LocalPref = &api.LocalPrefAction{Value: *b.LocalPref}
	}
	if b.Origin != "" {
		to.OriginAction = &api.OriginAction{Origin: originTypes[b.Origin]}
	}
	switch b.NextHop {
	case "":
	case "self":
		to.Nexthop = &api.NexthopAction{Self: true}
	case "unchanged":
		to.Nexthop = &api.NexthopAction{Unchanged: true}
	case "peer-address":
		to.Nexthop = &api.NexthopAction{PeerAddress: true}
	default:
		to.Nexthop = &api.NexthopAction{Address: b.NextHop}
	}
	var err error
	if !isZero(b.Prepend) {
		to.AsPrepend, err = prepend(b.Prepend)
	}
	if b.MED != "" && err == nil {
		to.Med, err = medAction(b.MED)
	}
	return to, err
}

func prepend(p config.ASPathPrepend) (*api.AsPrependAction, error) {
	if p.AS == "last-as" {
		return &api.AsPrependAction{Repeat: uint32(p.Repeat), UseLeftMost: true}, nil
	}
	as, err := strconv.ParseUint(p.AS, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("set-as-path-prepend: %q is no AS", p.AS)
	}
	return &api.AsPrependAction{Repeat: uint32(p.Repeat), Asn: uint32(as)}, nil
}

var medExpression = regexp.MustCompile(`^[+-]?[0-9]{1,10}$`)

func medAction(s string) (*api.MedAction, error) {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || !medExpression.MatchString(s) {
		return nil, fmt.Errorf("set-med: %q is no number, as 100, +10 or -10", s)
	}
	if s[0] == '+' || s[0] == '-' {
		return &api.MedAction{Type: api.MedAction_TYPE_MOD, Value: v}, nil
	}
	return &api.MedAction{Type: api.MedAction_TYPE_REPLACE, Value: v}, nil
}
