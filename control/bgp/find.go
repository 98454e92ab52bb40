package bgp

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"weft/control/config"
	"weft/control/rib"
)

// finder finds the neighbors behind interfaces: by the router advertisements that
// they send, as weft does itself, or else by the kernel's neighbor table.
type finder struct {
	sp *speaker

	mu    sync.Mutex
	links map[string]*foundLink // of unnumbered neighbors, by the interface's name
}

// foundLink is an interface with an unnumbered neighbor.
type foundLink struct {
	index   int        // 0: it is not there, or carries nothing
	own     netip.Addr // our link-local address
	heard   netip.Addr // who has sent router advertisements last
	used    netip.Addr // whom GoBGP speaks with, with the interface as zone
	waiting string     // for what
	ra      *advertiser
	failed  bool // to advertise, and that was logged
	patient int  // how often nobody was heard
}

// patience is after how many looks without a router advertisement the kernel's neighbor
// table is asked. There is a look each second.
const patience = 3

func newFinder(sp *speaker) *finder { return &finder{sp: sp, links: map[string]*foundLink{}} }

// configure takes over which interfaces have unnumbered neighbors.
func (f *finder) configure(c *Config) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stay := map[string]bool{}
	for _, n := range c.Neighbors {
		if n.Interface == "" {
			continue
		}
		stay[n.Interface] = true
		if f.links[n.Interface] == nil {
			f.links[n.Interface] = &foundLink{waiting: "interface " + n.Interface}
			f.sp.server.InterfaceChanged()
		}
	}
	for name, l := range f.links {
		if !stay[name] {
			l.stop()
			delete(f.links, name)
		}
	}
}

func (l *foundLink) stop() {
	if l.ra != nil {
		l.ra.stop()
		l.ra = nil
	}
}

func (f *finder) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.links {
		l.stop()
	}
	clear(f.links)
}

// address returns the neighbor behind an interface; invalid: it was not found yet.
func (f *finder) address(name string) netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.links[name]; l != nil {
		return l.used
	}
	return netip.Addr{}
}

func (f *finder) addresses() map[string]netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]netip.Addr{}
	for name, l := range f.links {
		all[name] = l.used
	}
	return all
}

// waiting returns what an unnumbered neighbor waits for.
func (f *finder) waiting(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.links[name]; l != nil && !l.used.IsValid() {
		return l.waiting
	}
	return ""
}

// searches reports whether a neighbor was not found yet.
func (f *finder) searches() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.links {
		if !l.used.IsValid() {
			return true
		}
	}
	return false
}

// hear takes note of a router advertisement.
func (f *finder) hear(name string, from netip.Addr) {
	f.mu.Lock()
	l := f.links[name]
	changed := l != nil && l.heard != from
	if changed {
		l.heard = from
	}
	f.mu.Unlock()
	if changed {
		f.sp.server.InterfaceChanged()
	}
}

// view is what the kernel says of an interface.
type view struct {
	index     int
	own       netip.Addr
	mac       []byte
	neighbors []netip.Addr
}

// follow brings sessions to what has become of interfaces and of neighbors on them.
func (f *finder) follow(ctx context.Context) error {
	views := map[string]*view{}
	if err := f.sp.server.options.RIB.Do(ctx, func(r *rib.RIB) { f.look(r, views) }); err != nil {
		return err
	}
	var changed []string
	f.mu.Lock()
	for name, l := range f.links {
		if f.followOne(name, l, views[name]) {
			changed = append(changed, name)
		}
	}
	f.mu.Unlock()
	if len(changed) == 0 {
		return nil
	}
	return f.sp.meet(ctx, changed)
}

// look finds out how the interfaces are.
func (f *finder) look(r *rib.RIB, views map[string]*view) {
	f.mu.Lock()
	defer f.mu.Unlock()
	byIndex := map[int]*view{}
	for link := range r.Links {
		if f.links[link.Name] == nil || !link.IsUp() || !link.HasCarrier() {
			continue
		}
		v := &view{index: link.Index}
		if link.HasMAC {
			v.mac = link.MAC[:]
		}
		views[link.Name], byIndex[link.Index] = v, v
	}
	if len(byIndex) == 0 {
		return
	}
	for a := range r.Addrs {
		if v := byIndex[a.Link]; v != nil && isLinkLocal(a.Prefix.Addr()) {
			v.own = a.Prefix.Addr()
		}
	}
	for n := range r.Neighbors {
		if v := byIndex[n.Link]; v != nil && isLinkLocal(n.Addr) && n.IsUsable() {
			v.neighbors = append(v.neighbors, n.Addr)
		}
	}
}

func isLinkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// followOne reports whether the neighbor behind an interface is another one now.
func (f *finder) followOne(name string, l *foundLink, v *view) (changed bool) {
	before := l.used
	if v == nil || !v.own.IsValid() {
		l.stop()
		l.index, l.heard, l.used, l.patient = 0, netip.Addr{}, netip.Addr{}, 0
		if l.waiting = "interface " + name; v != nil {
			l.waiting = "a link-local address of " + name
		}
		return before.IsValid()
	}
	if l.index != v.index || l.own != v.own {
		l.stop()
		refreshZones()
		l.index, l.own, l.heard, l.used, l.patient = v.index, v.own, netip.Addr{}, netip.Addr{}, 0
	}
	if l.ra == nil {
		var err error
		if l.ra, err = advertise(name, v.mac, func(from netip.Addr) { f.hear(name, from) }); err != nil {
			if !l.failed {
				f.sp.log.Warn("unnumbered neighbors are found by the kernel's neighbor table only", "error", err)
			}
			l.failed = true // it is tried again
		}
	}
	l.waiting = "a router behind " + name
	f.choose(name, l, v)
	return l.used != before
}

// refreshZones makes package net read the names of interfaces again, as it does when it
// does not know one. For a minute it would connect through the interface that had a
// name before.
func refreshZones() {
	c, err := net.DialUDP("udp6", nil, &net.UDPAddr{IP: net.IPv6linklocalallnodes, Port: 9, Zone: "no/interface"})
	if err == nil {
		c.Close()
	}
}

// choose takes whom was heard, or who is alone in the neighbor table. A session that
// is up stays.
func (f *finder) choose(name string, l *foundLink, v *view) {
	found := l.heard
	if !found.IsValid() && len(v.neighbors) == 1 {
		if l.patient++; l.patient > patience {
			found = v.neighbors[0]
		}
	}
	if !found.IsValid() || found == v.own {
		return
	}
	found = found.WithZone(name)
	if l.used.IsValid() && l.used != found && f.sp.isUp(name) {
		return
	}
	l.used = found
}

// isUp reports whether the session with a neighbor is established.
func (sp *speaker) isUp(name string) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	s := sp.sessions[name]
	return s != nil && s.isUp()
}

// meet gives GoBGP the neighbors behind interfaces as they were found.
func (sp *speaker) meet(ctx context.Context, names []string) error {
	if err := sp.setPolicies(ctx, &sp.config); err != nil {
		return err
	}
	for _, name := range names {
		for i := range sp.config.Neighbors {
			if n := &sp.config.Neighbors[i]; n.Interface == name {
				if err := sp.meetOne(ctx, n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// meetOne gives GoBGP a neighbor. One that it does not take is tried again.
func (sp *speaker) meetOne(ctx context.Context, n *config.BGPNeighbor) error {
	err := sp.put(ctx, n)
	if err == nil {
		return nil
	}
	sp.finder.forget(n.Interface)
	return err
}

// forget makes a neighbor be found again.
func (f *finder) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.links[name]; l != nil {
		l.used = netip.Addr{}
	}
}
