package config

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// YAML returns the configuration as a file: Parse makes the same of it again.
func (c *Config) YAML() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "version: %d\n", Version)
	p := c.Preferences
	fmt.Fprintf(&b, "preferences: {static: %d, ebgp: %d, ibgp: %d, fpm: %d}\n", p.Static, p.EBGP, p.IBGP, p.FPM)
	if len(c.Ports) > 0 {
		b.WriteString("ports:\n")
	}
	for _, one := range c.Ports {
		fmt.Fprintf(&b, "  - {match: %s, engine: %s}\n", plainText(one.Match), one.Engine)
	}
	if c.FPM.Listen.IsValid() {
		fmt.Fprintf(&b, "fpm: {listen: '%s', hold: %s}\n", c.FPM.Listen, c.FPM.Hold)
	}
	if c.BGP != nil {
		b.WriteString("bgp:\n")
		writeTagged(&b, reflect.ValueOf(c.BGP).Elem(), "  ")
	}
	if len(c.Groups) > 0 {
		b.WriteString("nexthop_groups:\n")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Groups)) {
		fmt.Fprintf(&b, "  %s:\n", plainText(name))
		for _, h := range c.Groups[name] {
			fmt.Fprintf(&b, "    - {%s}\n", h.fields())
		}
	}
	if len(c.Routes) > 0 {
		b.WriteString("routes:\n")
	}
	for i := range c.Routes {
		fmt.Fprintf(&b, "  - {%s}\n", c.Routes[i].fields())
	}
	if len(c.Neighbors) > 0 {
		b.WriteString("neighbors:\n")
	}
	for _, n := range c.Neighbors {
		fmt.Fprintf(&b, "  - {addr: %s, dev: %s, lladdr: '%s'}\n", plainText(n.Addr.String()), plainText(n.Dev), n.Lladdr)
	}
	return b.Bytes()
}

// fields are those of a route in the file.
func (r *Route) fields() string {
	all := []string{"prefix: " + plainText(r.Prefix.String())}
	add := func(key, value string) { all = append(all, key+": "+value) }
	if r.Kind != Unicast {
		add("type", string(r.Kind))
	}
	switch {
	case r.Group != "":
		add("group", plainText(r.Group))
	case len(r.Hops) == 1 && r.Hops[0].Weight == 1:
		all = append(all, r.Hops[0].fields())
	case len(r.Hops) > 0:
		var hops []string
		for _, h := range r.Hops {
			hops = append(hops, "{"+h.fields()+"}")
		}
		add("nexthops", "["+strings.Join(hops, ", ")+"]")
	}
	if r.Preference != 0 {
		add("preference", strconv.FormatUint(uint64(r.Preference), 10))
	}
	if r.VRF != "" {
		add("vrf", plainText(r.VRF))
	}
	if r.Table != 0 {
		add("table", strconv.FormatUint(uint64(r.Table), 10))
	}
	return strings.Join(all, ", ")
}

func (h *Hop) fields() string {
	var all []string
	if h.Via.IsValid() {
		all = append(all, "via: "+plainText(h.Via.String()))
	}
	if h.Dev != "" {
		all = append(all, "dev: "+plainText(h.Dev))
	}
	if h.Weight > 1 {
		all = append(all, "weight: "+strconv.FormatUint(uint64(h.Weight), 10))
	}
	return strings.Join(all, ", ")
}

// plainWords need no quotes: they begin with a letter and are none of the words
// that versions of YAML take for something else.
var (
	plainWords   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)
	plainNumbers = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(/[0-9]+)?$`)
	noWords      = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null|inf|nan|e[0-9]+)$`)
)

// plainText quotes what YAML would take for something else than text.
func plainText(s string) string {
	if plainNumbers.MatchString(s) || plainWords.MatchString(s) && !noWords.MatchString(s) {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// Text is the route in iproute2's words, as it can stand behind 'weft routes add'.
func (r *Route) Text() string {
	var b strings.Builder
	if r.Kind != Unicast {
		b.WriteString(string(r.Kind) + " ")
	}
	b.WriteString(r.Prefix.String())
	if target := r.target(); target != "" {
		b.WriteString(" " + target)
	}
	if r.VRF != "" {
		b.WriteString(" vrf " + r.VRF)
	}
	if r.Table != 0 {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	if r.Preference != 0 {
		fmt.Fprintf(&b, " preference %d", r.Preference)
	}
	return b.String()
}

// name is what tells the route apart.
func (r *Route) name() string {
	named := Route{Prefix: r.Prefix, VRF: r.VRF, Table: r.Table, Preference: r.Preference, Kind: Unicast}
	return named.Text()
}

// target is where packets go.
func (r *Route) target() string {
	if r.Group != "" {
		return "group " + r.Group
	}
	return hopsText(r.Hops)
}

// meaning is what becomes of packets.
func (r *Route) meaning() string {
	if r.Kind != Unicast {
		return string(r.Kind)
	}
	return r.target()
}

func hopsText(hops []Hop) string {
	var all []string
	for _, h := range hops {
		text := h.text()
		if len(hops) > 1 || h.Weight > 1 {
			text = "nexthop " + text + " weight " + strconv.FormatUint(uint64(h.Weight), 10)
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func (h *Hop) text() string {
	var all []string
	if h.Via.IsValid() {
		all = append(all, "via "+h.Via.String())
	}
	if h.Dev != "" {
		all = append(all, "dev "+h.Dev)
	}
	return strings.Join(all, " ")
}
