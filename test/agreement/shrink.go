package agreement

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"weft/test/model"
)

// shrinking makes a divergence small: the packet, and the State, while what is left of
// them makes the same forwarders differ in the same way.
type shrinking struct {
	t             *Table
	d             Divergence
	sets, packets int // tries that are left
	err           error
}

// Setting a State takes some tenths of a second, a packet nothing.
const (
	shrinkSets    = 250
	shrinkPackets = 5000
)

// Shrink returns the smallest Divergence of the same kind that it finds. The table is
// in another State then.
//
// Errors: ErrGone, where the divergence does not come again in a State by itself.
func (t *Table) Shrink(d Divergence) (Divergence, error) {
	s := &shrinking{t: t.of(d.Between), d: d, sets: shrinkSets, packets: shrinkPackets}
	if !s.set(d.State) || !s.packet(d.Packet) {
		if s.err == nil {
			s.err = ErrGone
		}
		return d, s.err
	}
	s.shrinkPacket()
	s.shrinkState()
	if s.err == nil && s.t.Set(s.d.State) == nil {
		s.shrinkPacket()
	}
	return s.d, s.err
}

// of is a table of those that a difference is between.
func (t *Table) of(between string) *Table {
	names := strings.Split(between, " and ")
	only := &Table{hurried: true}
	if slices.Contains(names, "linux") {
		only.Linux = t.Linux
	}
	for _, r := range t.Rows {
		if slices.Contains(names, r.Name()) {
			only.Rows = append(only.Rows, r)
		}
	}
	return only
}

// set brings the forwarders into a State. One that Linux does not take is none.
func (s *shrinking) set(state *model.State) bool {
	if s.sets--; s.sets < 0 || s.err != nil {
		return false
	}
	return s.t.Set(state) == nil
}

// packet tries another packet in the State that is set, and keeps it if it differs.
func (s *shrinking) packet(p Packet) bool {
	if s.packets--; s.packets < 0 || s.err != nil {
		return false
	}
	all, err := s.t.RunAll([]Packet{p}, NewTally())
	if err != nil {
		s.err = err
		return false
	}
	i := slices.IndexFunc(all, func(o Divergence) bool { return o.same(&s.d.difference) })
	if i >= 0 {
		s.d = all[i]
	}
	return i >= 0
}

// state tries another State with the packet, and keeps it if it differs.
func (s *shrinking) state(state *model.State, port int) bool {
	return s.set(state) && s.packet(Packet{port, s.d.Packet.Frame})
}

// shrinkState leaves out what is not needed: halves first, then single things.
func (s *shrinking) shrinkState() {
	leaveOut(func() int { return len(s.d.State.Routes) }, func(from, to int) bool {
		c := *s.d.State
		c.Routes = slices.Delete(slices.Clone(c.Routes), from, to)
		return s.state(&c, s.d.Packet.Port)
	})
	leaveOut(func() int { return len(s.d.State.Neighbors) }, func(from, to int) bool {
		c := *s.d.State
		c.Neighbors = slices.Delete(slices.Clone(c.Neighbors), from, to)
		return s.state(&c, s.d.Packet.Port)
	})
	for i := len(s.d.State.Ports) - 1; i >= 0; i-- {
		if i != s.d.Packet.Port && s.state(withoutPort(s.d.State, i), s.d.Packet.Port-bit(i < s.d.Packet.Port)) {
			continue
		}
		leaveOut(func() int { return len(s.d.State.Ports[i].Addrs) }, func(from, to int) bool {
			c := *s.d.State
			c.Ports = slices.Clone(c.Ports)
			c.Ports[i].Addrs = slices.Delete(slices.Clone(c.Ports[i].Addrs), from, to)
			return s.state(&c, s.d.Packet.Port)
		})
	}
	for i := range s.d.State.Routes {
		leaveOut(func() int { return len(s.d.State.Routes[i].Hops) }, func(from, to int) bool {
			c := *s.d.State
			c.Routes = slices.Clone(c.Routes)
			c.Routes[i].Hops = slices.Delete(slices.Clone(c.Routes[i].Hops), from, to)
			return len(c.Routes[i].Hops) > 0 && s.state(&c, s.d.Packet.Port)
		})
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// leaveOut takes stretches out of a list, long ones first, for as long as without
// them there is still a divergence.
func leaveOut(length func() int, without func(from, to int) bool) {
	for n := length(); n > 0; n /= 2 {
		for from := 0; from < length(); {
			if !without(from, min(from+n, length())) {
				from += n
			}
		}
	}
}

// withoutPort is a State without a port, and what depends on it.
func withoutPort(s *model.State, i int) *model.State {
	c, name := *s, s.Ports[i].Name
	c.Ports = slices.Delete(slices.Clone(s.Ports), i, i+1)
	c.Neighbors = slices.DeleteFunc(slices.Clone(s.Neighbors), func(n model.Neighbor) bool { return n.Port == name })
	c.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r model.Route) bool {
		return slices.ContainsFunc(r.Hops, func(h model.Hop) bool { return h.Port == name })
	})
	return &c
}

// shrinkPacket shortens the packet and then clears what does not matter.
func (s *shrinking) shrinkPacket() {
	for s.once(withoutTag) || s.once(withoutOptions) || s.once(withoutExtension) {
	}
	for cut := len(s.d.Packet.Frame) / 2; cut > 0; cut /= 2 {
		for s.shorter(cut) {
		}
	}
	for n := 16; n > 0; n /= 4 {
		for at := 0; at < len(s.d.Packet.Frame); at += n {
			s.clear(at, min(at+n, len(s.d.Packet.Frame)))
		}
	}
}

// once tries a change, as it is and with lengths and checksum right.
func (s *shrinking) once(change func([]byte) []byte) bool {
	f := change(slices.Clone(s.d.Packet.Frame))
	if f == nil || bytes.Equal(f, s.d.Packet.Frame) {
		return false
	}
	port := s.d.Packet.Port
	return s.packet(Packet{port, f}) || s.packet(Packet{port, fixed(slices.Clone(f))})
}

func (s *shrinking) shorter(cut int) bool {
	if len(s.d.Packet.Frame)-cut < l3 {
		return false
	}
	return s.once(func(f []byte) []byte { return f[:len(f)-cut] })
}

func (s *shrinking) clear(from, to int) bool {
	return s.once(func(f []byte) []byte {
		clear(f[from:to])
		return f
	})
}

// fixed makes lengths and checksum of an IP packet right.
func fixed(f []byte) []byte {
	d := draft{b: f}
	switch {
	case len(f) >= l3+20 && f[12] == 0x08 && f[13] == 0:
		d.family = 4
	case len(f) >= l3+40 && f[12] == 0x86 && f[13] == 0xdd:
		d.family = 6
	default:
		return f
	}
	setLength(&d)
	setChecksum(&d)
	return f
}

// withoutTag takes the outermost VLAN tag off.
func withoutTag(f []byte) []byte {
	if len(f) < l3+4 || !slices.Contains(tagProtocols, binary.BigEndian.Uint16(f[12:])) {
		return nil
	}
	return slices.Delete(f, 12, 16)
}

// withoutOptions takes the options out of an IPv4 header.
func withoutOptions(f []byte) []byte {
	if familyName(f) != "ipv4" || len(f) <= l3+20 {
		return nil
	}
	hlen := int(f[l3]&15) * 4
	if hlen <= 20 || len(f) < l3+hlen {
		return nil
	}
	f[l3] = f[l3]&0xf0 | 5
	return slices.Delete(f, l3+20, l3+hlen)
}

// withoutExtension takes the first 8 bytes behind an IPv6 header out, and takes what
// they say for the next header.
func withoutExtension(f []byte) []byte {
	const at = l3 + 40
	if familyName(f) != "ipv6" || len(f) < at+8 || !slices.Contains([]byte{0, 43, 44, 60}, f[l3+6]) {
		return nil
	}
	end := min(at+8*(int(f[at+1])+1), len(f))
	f[l3+6] = f[at]
	return slices.Delete(f, at, end)
}
