package config

import (
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"weft/control/config/spell"
)

// bgp is the section of weft's own BGP.
func (r *reader) bgp(c *Config) value {
	v := reflect.ValueOf(c).Elem().FieldByName("BGP")
	names := &bgpNames{}
	return &made{v, `help:"BGP router of weft's own."`, func(f found, part any) {
		switch part := part.(type) {
		case *BGPNeighbor:
			names.neighbor(f, part)
		case *BGPNetwork:
			names.once(f, "prefix", &names.networks, part.Prefix.String())
		case *Redistribution:
			names.once(f, "source", &names.sources, part.Source)
		case *BGP:
			names.whole(f, part)
		default:
			names.policyPart(f, part)
		}
	}}
}

// bgpNames are the names in the section, each with where it stands.
type bgpNames struct {
	neighbors, networks, sources map[string]string
	sets                         map[string]string // "prefix-set NAME"
	policies                     map[string]string
	uses                         []useOf // of sets
}

// useOf is a place that names a set.
type useOf struct {
	found
	key, name string
}

// once reports a second one of the same name.
func (b *bgpNames) once(f found, key string, seen *map[string]string, name string) {
	if *seen == nil {
		*seen = map[string]string{}
	}
	if at, twice := (*seen)[name]; twice {
		f.wrong(key, "keep one of them", "%s has the same one", at)
		return
	}
	(*seen)[name] = f.path
}

func (b *bgpNames) neighbor(f found, n *BGPNeighbor) {
	switch {
	case n.Interface == "" && !n.Address.IsValid():
		f.wrong("", "add 'address: ADDRESS' or 'interface: INTERFACE'", "neither address nor interface")
		return
	case n.Interface != "" && n.Address.IsValid():
		f.wrong("interface", "keep one of them", "address is there, too")
		return
	case n.Address.IsLinkLocalUnicast() && n.Address.Is6():
		f.wrong("address", "name the interface instead: 'interface: INTERFACE'", "%s is on every link", n.Address)
	case n.EBGPMultihop > 0 && n.TTLSecurity > 0:
		f.wrong("ttl_security", "keep one of them: ttl_security says how far away it may be, too", "ebgp_multihop is there, too")
	case n.LocalAddress.IsValid() && (n.Interface != "" || n.LocalAddress.Is4() != n.Address.Is4()):
		f.wrong("local_address", "want one of the same family, of a neighbor with an address", "%s is of no use", n.LocalAddress)
	case n.Timers.Keepalive > n.Timers.Hold:
		f.wrong("timers", "want keepalive: a third of hold", "keepalive is longer than hold")
	case n.RemoteAS.Kind == RemoteInternal && n.EBGPMultihop > 0:
		f.wrong("ebgp_multihop", "leave it out", "the neighbor is internal")
	}
	if n.Timers.Keepalive == 0 {
		n.Timers.Keepalive = max(n.Timers.Hold/3, time.Second).Truncate(time.Second)
	}
	if len(n.Families) == 0 {
		n.Families = n.defaultFamilies()
	}
	slices.Sort(n.Families)
	if len(slices.Compact(slices.Clone(n.Families))) < len(n.Families) {
		f.wrong("families", "give it once", "a family is there twice")
	}
	b.once(f, "address", &b.neighbors, n.Name())
}

func (n *BGPNeighbor) defaultFamilies() []Family {
	switch {
	case n.Interface != "":
		return []Family{IPv4Unicast, IPv6Unicast}
	case n.Address.Is4():
		return []Family{IPv4Unicast}
	}
	return []Family{IPv6Unicast}
}

// policyPart takes note of sets and policies, and of what names them.
func (b *bgpNames) policyPart(f found, part any) {
	define := func(kind, key, name string) { b.once(f, key, &b.sets, kind+" "+name) }
	use := func(key, name string) { b.uses = append(b.uses, useOf{f, key, key + " " + name}) }
	switch part := part.(type) {
	case *PrefixSet:
		define("prefix-set", "prefix-set-name", part.Name)
		b.family(f, part)
	case *PrefixMatch:
		b.lengths(f, part)
	case *NeighborSet:
		define("neighbor-set", "neighbor-set-name", part.Name)
	case *CommunitySet:
		define("community-set", "community-set-name", part.Name)
	case *ExtCommunitySet:
		define("ext-community-set", "ext-community-set-name", part.Name)
	case *LargeCommunitySet:
		define("large-community-set", "large-community-set-name", part.Name)
	case *ASPathSet:
		define("as-path-set", "as-path-set-name", part.Name)
	case *Policy:
		b.once(f, "name", &b.policies, part.Name)
	case *MatchPrefixSet:
		use("prefix-set", part.Set)
	case *MatchNeighborSet:
		use("neighbor-set", part.Set)
	case *MatchCommunitySet:
		use("community-set", part.Set)
	case *MatchExtCommunitySet:
		use("ext-community-set", part.Set)
	case *MatchLargeCommunitySet:
		use("large-community-set", part.Set)
	case *MatchASPathSet:
		use("as-path-set", part.Set)
	}
}

// family checks that a set is of one.
func (b *bgpNames) family(f found, s *PrefixSet) {
	for _, p := range s.Prefixes[min(1, len(s.Prefixes)):] {
		if strings.Contains(p.Prefix, ":") != strings.Contains(s.Prefixes[0].Prefix, ":") {
			f.wrong("prefix-list", "make two sets of it", "IPv4 and IPv6 in one set")
			return
		}
	}
}

// lengths checks a range of prefix lengths.
func (b *bgpNames) lengths(f found, p *PrefixMatch) {
	prefix, err := netip.ParsePrefix(p.Prefix)
	least, most, ok := strings.Cut(p.Range, "..")
	if err != nil || p.Range == "" || !ok {
		return
	}
	from, _ := strconv.Atoi(least)
	to, _ := strconv.Atoi(most)
	if from > to || from < prefix.Bits() || to > prefix.Addr().BitLen() {
		f.wrong("masklength-range", "want lengths from that of the prefix on, as 21..24", "%s: no prefix within %s has such lengths", p.Range, p.Prefix)
	}
}

// whole checks what takes the whole section.
func (b *bgpNames) whole(f found, c *BGP) {
	for _, u := range b.uses {
		if b.sets[u.name] == "" {
			kind, name, _ := strings.Cut(u.name, " ")
			u.wrong(u.key, b.remedy(kind, name), "%s: no such set", name)
		}
	}
	f.policies(b, "import_policy", c.ImportPolicy)
	f.policies(b, "export_policy", c.ExportPolicy)
	for i := range c.Neighbors {
		n := &c.Neighbors[i]
		for _, names := range [][]string{n.ImportPolicy, n.ExportPolicy} {
			f.policies(b, "neighbors", names)
		}
	}
	for _, n := range c.Networks {
		f.policies(b, "networks", n.Policy)
	}
	for _, r := range c.Redistribute {
		f.policies(b, "redistribute", r.Policy)
	}
	for i := range c.Neighbors {
		if n := &c.Neighbors[i]; n.ReflectorClient && !n.IsInternal(c) {
			f.wrong("neighbors", "want an internal neighbor", "%s is a route reflector client and external", n.Name())
		}
	}
}

func (b *bgpNames) remedy(kind, name string) string {
	var near []string
	for set := range b.sets {
		if k, n, _ := strings.Cut(set, " "); k == kind {
			near = append(near, n)
		}
	}
	slices.Sort(near)
	if n := spell.Nearest(name, near); n != "" {
		return "did you mean " + n + "?"
	}
	return "add it to defined-sets"
}

// policies checks that policies are there.
func (f found) policies(b *bgpNames, key string, names []string) {
	for _, name := range names {
		if b.policies[name] != "" {
			continue
		}
		remedy := "add it to policy-definitions"
		all := []string{}
		for p := range b.policies {
			all = append(all, p)
		}
		slices.Sort(all)
		if near := spell.Nearest(name, all); near != "" {
			remedy = "did you mean " + near + "?"
		}
		f.wrong(key, remedy, "%s: no such policy", name)
	}
}

// addrChecks read addresses, by their tag.
var addrChecks = map[string]func(string) (netip.Addr, error){
	"gateway": parseGateway,
	"id":      parseRouterID,
	"listen":  parseListenAddress,
}

func parseRouterID(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() || a.IsUnspecified() {
		return a, wrongf("want one like 192.0.2.1", "%q: not an identifier of a router", s)
	}
	return a, nil
}

func parseListenAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() || a.IsMulticast() {
		return a, wrongf("want one of this machine, or 0.0.0.0 or '::'", "%q: nothing can listen there", s)
	}
	return a, nil
}

var (
	setExpression    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,62}$`)
	lengthExpression = regexp.MustCompile(`^[0-9]{1,3}\.\.[0-9]{1,3}$`)
	medExpression    = regexp.MustCompile(`^[+-]?[0-9]{1,9}$`)
)

const mostPassword = 80 // bytes, of TCP MD5

// textChecks check text, by its tag.
var textChecks = map[string]func(string) error{
	"dev": checkDev,
	"name": func(s string) error {
		if !setExpression.MatchString(s) {
			return wrongf("see policy-definitions", "%q: not a name of a policy", s)
		}
		return nil
	},
	"setname": func(s string) error {
		if !setExpression.MatchString(s) {
			return wrongf("want up to 63 letters, digits, '_', '.', ':', '/' and '-'", "%q: not a name", s)
		}
		return nil
	},
	"line": func(s string) error {
		if len(s) > 255 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return wrongf("want one line of plain text", "more than a line")
		}
		return nil
	},
	"password": func(s string) error {
		if s == hidden {
			return wrongf("write the password", "what is shown is not the password")
		}
		if s == "" || len(s) > mostPassword || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return wrongf("want 1 to 80 ASCII characters without spaces", "not a password of TCP MD5")
		}
		return nil
	},
	"prefix": func(s string) error {
		_, err := parsePrefix(s)
		return err
	},
	"lengths": func(s string) error {
		if !lengthExpression.MatchString(s) {
			return wrongf("want one like 21..24", "%q: not a range of prefix lengths", s)
		}
		return nil
	},
	"peer": func(s string) error {
		_, notAddress := netip.ParseAddr(s)
		_, notPrefix := netip.ParsePrefix(s)
		if notAddress != nil && notPrefix != nil && checkDev(s) != nil {
			return wrongf("want an address, a prefix or an interface", "%q: no neighbor", s)
		}
		return nil
	},
	"expression": func(s string) error {
		if _, err := regexp.Compile(strings.ReplaceAll(s, "_", "(^|[,{}() ]|$)")); err != nil || s == "" || len(s) > 255 {
			return wrongf("see GoBGP's policies for how it is written", "%q: not a regular expression", s)
		}
		return nil
	},
	"nexthop": func(s string) error {
		if a, err := netip.ParseAddr(s); err != nil && s != "self" && s != "unchanged" && s != "peer-address" || a.Zone() != "" {
			return wrongf("want an address, self, unchanged or peer-address", "%q: not a next hop", s)
		}
		return nil
	},
	"med": func(s string) error {
		if !medExpression.MatchString(s) {
			return wrongf("want one like 100, +10 or -10", "%q: not a MED", s)
		}
		return nil
	},
	"prepend": func(s string) error {
		if n, err := strconv.ParseUint(s, 10, 32); s != "last-as" && (err != nil || n == 0) {
			return wrongf("want a number or last-as", "%q: not an AS", s)
		}
		return nil
	},
}

// parseDuration reads whole seconds within bounds: "3s 90s".
func parseDuration(s, bounds string) (time.Duration, error) {
	least, most, _ := strings.Cut(bounds, " ")
	d, err := time.ParseDuration(s)
	if err != nil || d%time.Second != 0 {
		return 0, wrongf("want whole seconds like 90s or 5m", "%q: not a duration", s)
	}
	from, _ := time.ParseDuration(least)
	to, _ := time.ParseDuration(most)
	if d < from || d > to {
		return 0, wrongf("want "+least+" to "+most, "%s: out of range", s)
	}
	return d, nil
}
