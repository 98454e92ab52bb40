package config

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// canonical puts the section into the form in which equal ones are equal.
func (c *BGP) canonical() {
	if c == nil {
		return
	}
	slices.SortFunc(c.Neighbors, func(a, b BGPNeighbor) int { return strings.Compare(a.Name(), b.Name()) })
	slices.SortFunc(c.Networks, func(a, b BGPNetwork) int { return a.Prefix.Compare(b.Prefix) })
	slices.SortFunc(c.Redistribute, func(a, b Redistribution) int { return strings.Compare(a.Source, b.Source) })
}

// digestOf tells that a password is another one, and not which.
func digestOf(s string) uint16 {
	sum := sha256.Sum256([]byte(s))
	return binary.BigEndian.Uint16(sum[:])
}

// hidden stands for what is not shown. It is not taken for a password.
const hidden = "<hidden>"

// Shown returns the configuration as it may be shown: without passwords.
func (c *Config) Shown() *Config {
	if c.BGP == nil {
		return c
	}
	shown, section := *c, *c.BGP
	shown.BGP = &section
	section.Neighbors = slices.Clone(section.Neighbors)
	for i := range section.Neighbors {
		if section.Neighbors[i].Password != "" {
			section.Neighbors[i].Password = hidden
		}
	}
	return &shown
}

// Restarts reports whether a change takes all sessions down.
func (c *BGP) Restarts(to *BGP) bool {
	return c.AS != to.AS || c.RouterID != to.RouterID || c.ListenPort != to.ListenPort || c.MaximumPaths != to.MaximumPaths ||
		!slices.Equal(c.ListenAddresses, to.ListenAddresses)
}

// Resets reports whether a change ends the session with the neighbor. What only
// policies, timers and limits say does not.
func (n BGPNeighbor) Resets(to BGPNeighbor) bool {
	return !reflect.DeepEqual(n.hard(), to.hard())
}

func (n BGPNeighbor) hard() BGPNeighbor {
	n.Description, n.Timers, n.MaximumPrefixes, n.NextHopSelf = "", BGPTimers{}, 0, false
	n.ImportPolicy, n.ExportPolicy, n.DefaultImport, n.DefaultExport = nil, nil, "", ""
	return n
}

// bgp adds the differences of the section.
func (p *Plan) bgp(from, to *Config) {
	diffMaps(p, ThingBGP, bgpTexts(from.BGP), bgpTexts(to.BGP))
	old, now := neighborTexts(from.BGP), neighborTexts(to.BGP)
	names := slices.Collect(maps.Keys(old))
	for name := range now {
		if old[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		a, b := old[name], now[name]
		if a != nil && b != nil {
			a, b = differing(a, b), differing(b, a)
		}
		p.compare(ThingBGPPeer, name, texts(a), texts(b), old[name] != nil, now[name] != nil)
	}
}

// differing returns the fields that others have otherwise.
func differing(fields, others map[string]string) map[string]string {
	all := map[string]string{}
	for key, text := range fields {
		if others[key] != text {
			all[key] = text
		}
	}
	for key := range others {
		if fields[key] == "" {
			all[key] = "none"
		}
	}
	return all
}

func texts(fields map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		all = append(all, key+" "+fields[key])
	}
	return strings.Join(all, ", ")
}

// bgpTexts are the parts of the section but for neighbors.
func bgpTexts(c *BGP) map[string]string {
	if c == nil {
		return nil
	}
	rest := *c
	rest.Neighbors = nil
	return fieldTexts(reflect.ValueOf(rest))
}

// neighborTexts are the fields of neighbors, by name.
func neighborTexts(c *BGP) map[string]map[string]string {
	all := map[string]map[string]string{}
	if c == nil {
		return all
	}
	for _, n := range c.Neighbors {
		if n.Password != "" {
			n.Password = fmt.Sprintf("<hidden, %04x>", digestOf(n.Password))
		}
		name := n.Name()
		n.Address, n.Interface = netip.Addr{}, ""
		all[name] = fieldTexts(reflect.ValueOf(n))
	}
	return all
}

// fieldTexts are the fields of a struct that are there, each on one line.
func fieldTexts(v reflect.Value) map[string]string {
	all := map[string]string{}
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if f := v.Field(i); !f.IsZero() {
			all[key] = bounded(flowText(f))
		}
	}
	return all
}

// flowText is a value on one line, as it could stand in a file.
func flowText(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if text, ok := scalarText(v); ok {
		return text
	}
	var all []string
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			all = append(all, flowText(v.Index(i)))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	fields := fieldTexts(v)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		all = append(all, key+": "+fields[key])
	}
	return "{" + strings.Join(all, ", ") + "}"
}

// mostShown bounds what a plan shows of a value.
const mostShown = 120

func bounded(s string) string {
	if r := []rune(s); len(r) > mostShown {
		return fmt.Sprintf("%s... (%08x)", string(r[:mostShown]), crc32.ChecksumIEEE([]byte(s)))
	}
	return s
}

// sessions counts what a change does to sessions.
func sessions(from, to *BGP) (reset, gone, come int) {
	old, now := map[string]BGPNeighbor{}, map[string]BGPNeighbor{}
	for _, side := range []struct {
		of *BGP
		to map[string]BGPNeighbor
	}{{from, old}, {to, now}} {
		if side.of != nil {
			for _, n := range side.of.Neighbors {
				side.to[n.Name()] = n
			}
		}
	}
	all := from != nil && to != nil && from.Restarts(to)
	for name, n := range old {
		switch o, stays := now[name]; {
		case !stays:
			gone++
		case all || n.Resets(o) || from.sessionRestart(&n) != to.sessionRestart(&o):
			reset++
		}
	}
	for name := range now {
		if _, was := old[name]; !was {
			come++
		}
	}
	return reset, gone, come
}

// sessionRestart is what counts for a neighbor.
func (c *BGP) sessionRestart(n *BGPNeighbor) GracefulRestart {
	if n.GracefulRestart != nil {
		return *n.GracefulRestart
	}
	return c.GracefulRestart
}

// bgpImpact says what becomes of sessions.
func bgpImpact(from, to *BGP) (all []string) {
	reset, gone, come := sessions(from, to)
	for _, part := range []struct {
		n    int
		text string
	}{{reset, "reset"}, {gone, "ends"}, {come, "begins"}} {
		switch {
		case part.n == 0:
		case part.text == "reset":
			all = append(all, counted(part.n, "BGP session")+" "+isAre(part.n)+" reset")
		case part.n == 1:
			all = append(all, "1 BGP session "+part.text)
		default:
			all = append(all, counted(part.n, "BGP session")+" "+strings.TrimSuffix(part.text, "s"))
		}
	}
	return all
}
