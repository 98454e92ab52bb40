package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Op is what a change does.
type Op string

// Ops, as 'weft config plan' marks them.
const (
	Add    Op = "+"
	Remove Op = "-"
	Modify Op = "~"
)

// Things that changes are of, in the order of plans.
const (
	ThingPreference = "preference"
	ThingPort       = "port"
	ThingPortOrder  = "order"
	ThingFPM        = "fpm"
	ThingBGP        = "bgp setting"
	ThingBGPPeer    = "bgp neighbor"
	ThingGroup      = "group"
	ThingRoute      = "route"
	ThingNeighbor   = "neighbor"
)

// Change is one difference between two configurations.
type Change struct {
	Op    Op
	Thing string
	Name  string // of the thing, "10.0.0.0/8"
	Old   string // what it was, "via 192.0.2.1"; "" with Add
	New   string
	Uses  int // routes that it changes, of a group or a preference
}

// Text is the change as one line.
func (c Change) Text() string {
	text := fmt.Sprintf("%s %s %s", c.Op, c.Thing, c.Name)
	switch c.Op {
	case Add:
		text += "  " + c.New
	case Remove:
		text += "  " + c.Old
	default:
		text += "  " + c.Old + " -> " + c.New
	}
	if c.Uses > 0 {
		text += fmt.Sprintf("  (%s)", counted(c.Uses, "route"))
	}
	return text
}

// Plan is what it takes to come from one configuration to another.
type Plan struct {
	Changes []Change
	Impact  string // on traffic, in words
}

// Counts returns how many changes of a thing there are.
func (p *Plan) Counts(thing string) (adds, removes, modifies int) {
	for _, c := range p.Changes {
		switch {
		case c.Thing != thing:
		case c.Op == Add:
			adds++
		case c.Op == Remove:
			removes++
		default:
			modifies++
		}
	}
	return adds, removes, modifies
}

// Things returns those that change, in the order of plans.
func (p *Plan) Things() (things []string) {
	for _, c := range p.Changes {
		if !slices.Contains(things, c.Thing) {
			things = append(things, c.Thing)
		}
	}
	return things
}

// Summary says how much changes: "+1 -0 ~2 routes, +0 -1 ~0 neighbors".
func (p *Plan) Summary() string {
	var all []string
	for _, thing := range p.Things() {
		adds, removes, modifies := p.Counts(thing)
		all = append(all, fmt.Sprintf("+%d -%d ~%d %ss", adds, removes, modifies, thing))
	}
	if all == nil {
		return "nothing"
	}
	return strings.Join(all, ", ")
}

// Diff returns what it takes to come from one configuration to another.
func Diff(from, to *Config) *Plan {
	p := &Plan{}
	p.preferences(from, to)
	p.ports(from, to)
	p.fpm(from, to)
	p.bgp(from, to)
	diffMaps(p, ThingGroup, groupTexts(from), groupTexts(to))
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Thing == ThingGroup && c.Op == Modify {
			c.Uses = usesOf(to, func(r *Route) bool { return r.Group == c.Name })
		}
	}
	p.routes(from, to)
	p.neighbors(from, to)
	p.Impact = impact(from, to, p)
	return p
}

func usesOf(c *Config, is func(*Route) bool) (n int) {
	for i := range c.Routes {
		if is(&c.Routes[i]) {
			n++
		}
	}
	return n
}

func (p *Plan) preferences(from, to *Config) {
	a, b := from.Preferences, to.Preferences
	for _, v := range []struct {
		name     string
		old, new uint32
	}{{"static", a.Static, b.Static}, {"ebgp", a.EBGP, b.EBGP}, {"ibgp", a.IBGP, b.IBGP}, {"fpm", a.FPM, b.FPM}} {
		if v.old == v.new {
			continue
		}
		c := Change{Op: Modify, Thing: ThingPreference, Name: v.name, Old: fmt.Sprint(v.old), New: fmt.Sprint(v.new)}
		if v.name == "static" {
			c.Uses = usesOf(to, func(r *Route) bool { return r.Preference == 0 })
		}
		p.Changes = append(p.Changes, c)
	}
}

func (p *Plan) fpm(from, to *Config) {
	text := func(f FPM) map[string]string {
		if !f.Listen.IsValid() {
			return nil
		}
		return map[string]string{"listen": f.Listen.String(), "hold": f.Hold.String()}
	}
	diffMaps(p, ThingFPM, text(from.FPM), text(to.FPM))
}

func groupTexts(c *Config) map[string]string {
	all := map[string]string{}
	for name, hops := range c.Groups {
		all[name] = hopsText(hops)
	}
	return all
}

// diffMaps adds the differences of two maps, by name.
func diffMaps(p *Plan, thing string, from, to map[string]string) {
	names := map[string]bool{}
	for _, m := range []map[string]string{from, to} {
		for name := range m {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old, had := from[name]
		now, has := to[name]
		p.compare(thing, name, old, now, had, has)
	}
}

func (p *Plan) compare(thing, name, old, now string, had, has bool) {
	c := Change{Op: Modify, Thing: thing, Name: name, Old: old, New: now}
	switch {
	case had && has && old == now:
		return
	case !had:
		c.Op = Add
	case !has:
		c.Op = Remove
	}
	p.Changes = append(p.Changes, c)
}

// routes walks both lists at once: they are ordered.
func (p *Plan) routes(from, to *Config) {
	a, b := from.Routes, to.Routes
	for len(a) > 0 || len(b) > 0 {
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = compareKeys(a[0].key(), b[0].key())
		}
		switch {
		case order < 0:
			p.compare(ThingRoute, a[0].name(), a[0].meaning(), "", true, false)
			a = a[1:]
		case order > 0:
			p.compare(ThingRoute, b[0].name(), "", b[0].meaning(), false, true)
			b = b[1:]
		default:
			p.compare(ThingRoute, a[0].name(), a[0].meaning(), b[0].meaning(), true, true)
			a, b = a[1:], b[1:]
		}
	}
}

func (p *Plan) neighbors(from, to *Config) {
	text := func(c *Config) map[string]string {
		all := map[string]string{}
		for _, n := range c.Neighbors {
			all[n.Addr.String()+" dev "+n.Dev] = "lladdr " + n.Lladdr
		}
		return all
	}
	diffMaps(p, ThingNeighbor, text(from), text(to))
}

// target is what packets go to: a prefix in a table.
type target struct {
	vrf    string
	table  uint32
	prefix netip.Prefix
}

// best returns what becomes of packets to each prefix that has a static route.
func best(c *Config) map[target]*Route {
	all := map[target]*Route{}
	routes := c.Static()
	for i := range routes {
		r := &routes[i]
		t := target{r.VRF, r.Table, r.Prefix}
		if had := all[t]; had == nil || r.Preference < had.Preference {
			all[t] = r
		}
	}
	return all
}

// impact says what packets notice of the way from one configuration to another.
func impact(from, to *Config, p *Plan) string {
	if len(p.Changes) == 0 {
		return "none (nothing changes)"
	}
	was, is := best(from), best(to)
	var gain, lose, replace, drop int
	for t, r := range is {
		old := was[t]
		switch {
		case old == nil:
			gain++
		case old.meaning() != r.meaning() && r.Kind != Unicast && old.Kind == Unicast:
			drop++
		case old.meaning() != r.meaning() || old.Preference != r.Preference:
			replace++
		}
	}
	for t := range was {
		if is[t] == nil {
			lose++
		}
	}
	var all []string
	if lose > 0 {
		all = append(all, counted(lose, "prefix")+" lose"+third(lose)+" the static route")
	}
	if drop > 0 {
		all = append(all, counted(drop, "prefix")+" "+isAre(drop)+" no longer forwarded")
	}
	if gain > 0 {
		all = append(all, counted(gain, "prefix")+" get"+third(gain)+" a route")
	}
	all = append(all, bgpImpact(from.BGP, to.BGP)...)
	if len(all) == 0 {
		if replace == 0 && !enginesChange(from, to) {
			return "none"
		}
		return "none (atomic replace)"
	}
	if replace > 0 {
		all = append(all, counted(replace, "prefix")+" by atomic replace")
	}
	return strings.Join(all, ", ")
}

func third(n int) string {
	if n == 1 {
		return "s"
	}
	return ""
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func counted(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "x"):
		thing += "e"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
