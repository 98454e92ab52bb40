package scale

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"weft/test/fulltable"
	"weft/test/kernelroutes"
)

// Next-hop objects that routes lead to: half of them by h2, half by h3.
const (
	objects   = 256
	objects6  = 256 // the IPv6 ones begin behind
	probeIPv4 = 1 << 10
)

// table is what the kernel is filled with.
type table struct {
	v4, v6 []netip.Prefix
	hops   []uint32       // objects of v4; v6 has them from the start, plus objects6
	probes []netip.Prefix // of v4: changed to be looked at
}

// newTable returns 1,000,000 IPv4 and 160,000 IPv6 prefixes, or a tenth of them: those of
// the Internet, and /26s in 10.128.0.0/9 which nobody there has.
func newTable(t testing.TB) (all table) {
	t.Helper()
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		t.Fatal(err)
	}
	n4, n6 := pick(100_000, 1_000_000), pick(16_000, 160_000)
	const further = 1 << 15
	for i := range max(n4-len(v4), further) {
		a := netip.AddrFrom4([4]byte{10, 128 + byte(i>>10), byte(i >> 2), byte(i << 6)})
		all.v4 = append(all.v4, netip.PrefixFrom(a, 26))
	}
	all.probes = slices.Clone(all.v4[:probeIPv4])
	all.v4 = append(all.v4, v4[:n4-len(all.v4)]...)
	all.v6 = v6[:n6]
	all.hops = fulltable.NextHops(n4, 1)
	for i := range all.hops {
		all.hops[i] = all.hops[i]%objects + 1
	}
	return all
}

// in runs f in the router.
func (s *scaled) in(f func() error) {
	s.Helper()
	if err := s.Lab.In("r1", f); err != nil {
		s.Fatal(err)
	}
}

// putObjects makes the next-hop objects.
func (s *scaled) putObjects(b *kernelroutes.Batch) {
	for id := uint32(1); id <= objects; id++ {
		s.putObject(b, id, id)
		s.putObject(b, id+objects6, id)
	}
}

// putObject makes a next-hop object lead to a neighbor.
func (s *scaled) putObject(b *kernelroutes.Batch, id, neighbor uint32) {
	host, v4, v6 := gateways(neighbor)
	if id > objects6 {
		v4 = v6
	}
	b.PutObject(id, s.links[host], v4)
}

// neighbors makes the gateways of all objects be known to the kernel for good.
func (s *scaled) neighbors() {
	s.Helper()
	macs := map[uint32][6]byte{2: s.MAC("h2", "eth0"), 3: s.MAC("h3", "eth0")}
	s.in(func() error {
		for n := uint32(0); n <= objects; n++ {
			host, v4, v6 := gateways(n)
			mac := macs[host]
			for _, a := range []netip.Addr{v4, v6} {
				if err := netlink.NeighSet(&netlink.Neigh{
					LinkIndex: s.links[host], IP: a.AsSlice(), HardwareAddr: mac[:], State: netlink.NUD_PERMANENT,
				}); err != nil {
					return fmt.Errorf("neighbor %s: %w", a, err)
				}
			}
		}
		return nil
	})
}

// gateways returns addresses of the n-th neighbor, and the host that answers for them.
func gateways(n uint32) (host uint32, v4, v6 netip.Addr) {
	host = 2 + n%2
	at := byte(n/2 + 2)
	return host, netip.AddrFrom4([4]byte{10, byte(host), 0, at}),
		netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(host), 15: at})
}

// load fills the kernel, and waits for weft.
func (s *scaled) load() {
	s.Helper()
	for host := uint32(2); host <= 3; host++ {
		name := "to-h" + string(rune('0'+host))
		s.links[host] = s.Link("r1", name).Attrs().Index
	}
	s.neighbors()
	s.in(func() error {
		b, err := kernelroutes.Open()
		if err != nil {
			return err
		}
		defer b.Close()
		s.putObjects(b)
		if err := b.Send(); err != nil {
			return err
		}
		return s.fill(b)
	})
	s.Until("all routes are in the FIB", s.isFull)
}

// fill gives the kernel the table's routes.
func (s *scaled) fill(b *kernelroutes.Batch) error {
	for i, p := range s.table.v4 {
		b.Put(p, s.table.hops[i])
		if err := b.SendFull(); err != nil {
			return err
		}
	}
	for i, p := range s.table.v6 {
		b.Put(p, objects6+s.table.hops[i])
		if err := b.SendFull(); err != nil {
			return err
		}
	}
	return b.Send()
}

func (s *scaled) isFull() bool {
	f := s.Status().FIB
	return f.IPv4Routes >= len(s.table.v4) && f.IPv6Routes >= len(s.table.v6)
}
