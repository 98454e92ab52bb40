package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// RouteOp is what is done to one route, in iproute2's words.
type RouteOp string

// RouteOps.
const (
	AddRoute     RouteOp = "add"     // it must not be there
	ReplaceRoute RouteOp = "replace" // it may be there
	DeleteRoute  RouteOp = "del"     // it must be there
)

// Errors of WithRoute.
var (
	ErrRoute   = errors.New("route makes no sense")
	ErrNoRoute = errors.New("no such static route")
	ErrThere   = errors.New("the static route is there already")
)

// WithRoute returns a configuration with one route changed. Of DeleteRoute, what is
// not said (type, next hops, preference) may be anything.
//
// Errors: ErrRoute, ErrNoRoute, ErrThere.
func (c *Config) WithRoute(op RouteOp, route Route) (*Config, error) {
	to := *c
	to.Groups = maps.Clone(c.Groups)
	to.Routes = slices.Clone(c.Routes)
	if route.Table == tableMain {
		route.Table = 0
	}
	var at []int
	for i := range to.Routes {
		had := &to.Routes[i]
		if op == DeleteRoute && had.isLike(&route) || op != DeleteRoute && c.effective(had.key()) == c.effective(route.key()) {
			at = append(at, i)
		}
	}
	switch {
	case op == DeleteRoute && len(at) == 0:
		return nil, fmt.Errorf("%s: %w: 'weft config show' lists them", route.name(), ErrNoRoute)
	case op == DeleteRoute && len(at) > 1:
		return nil, fmt.Errorf("%s: %w: %d routes are meant: say its preference", route.name(), ErrRoute, len(at))
	case op == DeleteRoute:
		to.Routes = slices.Delete(to.Routes, at[0], at[0]+1)
		return &to, nil
	case op != AddRoute && op != ReplaceRoute:
		return nil, fmt.Errorf("%s: %w: want add, del or replace", op, ErrRoute)
	}
	if route.Kind == "" {
		route.Kind = Unicast
	}
	switch {
	case len(at) > 0 && op == AddRoute:
		return nil, fmt.Errorf("%s: %w: 'weft routes replace' changes it", route.name(), ErrThere)
	case len(at) > 0:
		to.Routes[at[0]] = route
	default:
		to.Routes = append(to.Routes, route)
	}
	to.canonical()
	return &to, to.checkRoute(&route)
}

// isLike tells whether a route is one that another describes: what that leaves
// open may be anything.
func (r *Route) isLike(like *Route) bool {
	return r.VRF == like.VRF && r.Table == like.Table && r.Prefix == like.Prefix &&
		(like.Preference == 0 || r.Preference == like.Preference) && (like.Kind == "" || r.Kind == like.Kind) &&
		(like.Group == "" || r.Group == like.Group) && (len(like.Hops) == 0 || slices.EqualFunc(r.Hops, like.Hops, Hop.isTo))
}

// isTo tells whether two next hops are the same but for what one leaves open.
func (h Hop) isTo(like Hop) bool {
	return (!like.Via.IsValid() || h.Via == like.Via) && (like.Dev == "" || h.Dev == like.Dev)
}

// checkRoute checks a route as a file's are: what is written must be readable.
func (c *Config) checkRoute(route *Route) error {
	alone := &Config{Preferences: c.Preferences, Routes: []Route{*route}}
	if hops, ok := c.Groups[route.Group]; ok {
		alone.Groups = map[string][]Hop{route.Group: hops}
	}
	var mistakes Errors
	_, err := Parse("route", alone.YAML())
	if errors.As(err, &mistakes) {
		return fmt.Errorf("%w: %s: %s: %s", ErrRoute, route.name(), mistakes[0].Cause, mistakes[0].Remedy)
	}
	return err
}
