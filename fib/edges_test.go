package fib

import (
	"fmt"
	"net/netip"
	"testing"
)

// testPrefix returns the prefix of a length around an address.
func testPrefix(t testing.TB, addr string, bits int) netip.Prefix {
	t.Helper()
	p, err := netip.MustParseAddr(addr).Prefix(bits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Addresses whose prefixes begin and end at every kind of place: at the start
// and the end of the space, and with bits set and clear on both sides of every
// node's border.
var edgeAddrs = []string{
	"0.0.0.0", "255.255.255.255", "10.170.85.51", "127.255.255.254", "128.0.0.1",
	"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:aaaa:5555:3333:cccc:f0f0:e1e1",
	"7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::1", "2001:db8:0:1::", "2001:db8:0:0:ffff:ffff:ffff:ffff",
}

func addrBits(addr string) int { return netip.MustParseAddr(addr).BitLen() }

// One prefix alone: it answers from its first to its last address and not
// beside them.
func TestEveryLengthAlone(t *testing.T) {
	for _, compact := range []bool{false, true} {
		im := newTestImage(t, 1<<20, 1, Options{Compact: compact})
		tab := mustTable(t, im, 3)
		for _, addr := range edgeAddrs {
			for bits := range addrBits(addr) + 1 {
				var m model
				p := testPrefix(t, addr, bits)
				used := int(im.alloc.used) * unitSize
				if err := tab.Insert(p, 1); err != nil {
					t.Fatal(err)
				}
				m.Insert(p, 1)
				check(t, tab, &m)
				if err := tab.Delete(p); err != nil {
					t.Fatal(err)
				}
				for _, a := range edges(p) {
					wantLookup(t, tab, a, 0)
				}
				if im.routes.pages == 1 && int(im.alloc.used)*unitSize > max(used, 4096+used) {
					t.Fatalf("%s: %d bytes used, %d before", p, int(im.alloc.used)*unitSize, used)
				}
			}
		}
		checkOwners(t, im)
	}
}

// All lengths nested around one address, in several orders (BCP 198: no length
// is special).
func TestEveryLengthNested(t *testing.T) {
	orders := map[string]func(i, n int) int{
		"up":      func(i, _ int) int { return i },
		"down":    func(i, n int) int { return n - 1 - i },
		"strided": func(i, n int) int { return i * 7 % n }, // 33 and 129 have no divisor 7
	}
	for _, compact := range []bool{false, true} {
		for name, order := range orders {
			for _, addr := range edgeAddrs {
				t.Run(fmt.Sprintf("compact=%v/%s/%s", compact, name, addr), func(t *testing.T) {
					n := addrBits(addr) + 1
					im := newTestImage(t, 1<<20, 2*n, Options{Compact: compact})
					tab := mustTable(t, im, 0)
					var m model
					for i := range n {
						bits := order(i, n)
						p := testPrefix(t, addr, bits)
						if err := tab.Insert(p, GroupID(bits+1)); err != nil {
							t.Fatal(err)
						}
						m.Insert(p, GroupID(bits+1))
						for _, a := range edges(p) {
							wantLookup(t, tab, a, m.lookup(a))
						}
					}
					check(t, tab, &m)
					// The first address that bits bits cover and bits+1 do not is of length bits.
					base := netip.MustParseAddr(addr)
					k, f := keyOf(base)
					for bits := range n - 1 {
						bit := f.width() - 1 - bits
						other := k
						if f == ipv4 {
							other.hi ^= 1 << (32 + bit)
						} else if bit < 64 {
							other.lo ^= 1 << bit
						} else {
							other.hi ^= 1 << (bit - 64)
						}
						wantLookup(t, tab, other.addr(f), GroupID(bits+1))
					}
					wantLookup(t, tab, base, GroupID(n))
					checkOwners(t, im)
					for i := range n {
						p := testPrefix(t, addr, order(i, n))
						if err := tab.Delete(p); err != nil {
							t.Fatal(err)
						}
						m.Delete(p)
						for _, a := range edges(p) {
							wantLookup(t, tab, a, m.lookup(a))
						}
						wantLookup(t, tab, base, m.lookup(base))
					}
					checkOwners(t, im)
				})
			}
		}
	}
}

func TestEdges(t *testing.T) {
	type answer struct {
		addr  string
		group GroupID
	}
	for _, c := range []struct {
		name     string
		prefixes []string // their groups are 1, 2 and so on
		answers  []answer
	}{
		{"default of IPv4 only", []string{"0.0.0.0/0"},
			[]answer{{"0.0.0.0", 1}, {"255.255.255.255", 1}, {"::", 0}, {"2001:db8::1", 0}}},
		{"default of IPv6 only", []string{"::/0"},
			[]answer{{"0.0.0.0", 0}, {"255.255.255.255", 0}, {"::", 1}, {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1}}},
		{"both defaults", []string{"0.0.0.0/0", "::/0"},
			[]answer{{"1.2.3.4", 1}, {"2001:db8::1", 2}}},
		{"/31 (RFC 3021)", []string{"192.0.2.2/31"},
			[]answer{{"192.0.2.1", 0}, {"192.0.2.2", 1}, {"192.0.2.3", 1}, {"192.0.2.4", 0}}},
		{"/127 (RFC 6164)", []string{"2001:db8::2/127"},
			[]answer{{"2001:db8::1", 0}, {"2001:db8::2", 1}, {"2001:db8::3", 1}, {"2001:db8::4", 0}}},
		{"/32 in /31 in /30", []string{"192.0.2.0/30", "192.0.2.2/31", "192.0.2.3/32"},
			[]answer{{"192.0.2.0", 1}, {"192.0.2.1", 1}, {"192.0.2.2", 2}, {"192.0.2.3", 3}, {"192.0.2.4", 0}}},
		{"/128 in /127 in /126", []string{"2001:db8::/126", "2001:db8::2/127", "2001:db8::3/128"},
			[]answer{{"2001:db8::", 1}, {"2001:db8::1", 1}, {"2001:db8::2", 2}, {"2001:db8::3", 3}, {"2001:db8::4", 0}}},
		{"siblings", []string{"10.0.0.0/9", "10.128.0.0/9"},
			[]answer{{"9.255.255.255", 0}, {"10.0.0.0", 1}, {"10.127.255.255", 1}, {"10.128.0.0", 2}, {"10.255.255.255", 2}, {"11.0.0.0", 0}}},
		{"siblings under a cover", []string{"10.0.0.0/8", "10.64.0.0/10", "10.128.0.0/10"},
			[]answer{{"10.63.255.255", 1}, {"10.64.0.0", 2}, {"10.127.255.255", 2}, {"10.128.0.0", 3}, {"10.191.255.255", 3}, {"10.192.0.0", 1}}},
		{"halves of the space", []string{"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"},
			[]answer{{"127.255.255.255", 1}, {"128.0.0.0", 2}, {"7fff:ffff::", 3}, {"8000::", 4}}},
		{"the end of the space", []string{"255.255.255.255/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"},
			[]answer{{"255.255.255.254", 0}, {"255.255.255.255", 1}, {"0.0.0.0", 0},
				{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 0}, {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2}, {"::", 0}}},
		{"the start of the space", []string{"0.0.0.0/32", "::/128"},
			[]answer{{"0.0.0.0", 1}, {"0.0.0.1", 0}, {"::", 2}, {"::1", 0}, {"255.255.255.255", 0}}},
		{"/63, /64 and /65", []string{"2001:db8::/63", "2001:db8::/64", "2001:db8::/65"},
			[]answer{{"2001:db8::", 3}, {"2001:db8::7fff:ffff:ffff:ffff", 3}, {"2001:db8::8000:0:0:0", 2}, {"2001:db8::ffff:ffff:ffff:ffff", 2},
				{"2001:db8:0:1::", 1}, {"2001:db8:0:1:ffff:ffff:ffff:ffff", 1}, {"2001:db8:0:2::", 0}, {"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", 0}}},
		{"/128 at the end of a /64", []string{"2001:db8::/64", "2001:db8:0:0:ffff:ffff:ffff:ffff/128", "2001:db8:0:1::/128"},
			[]answer{{"2001:db8::ffff:ffff:ffff:fffe", 1}, {"2001:db8::ffff:ffff:ffff:ffff", 2}, {"2001:db8:0:1::", 3}, {"2001:db8:0:1::1", 0}}},
		{"/65 without a /64", []string{"2001:db8:0:0:8000::/65"},
			[]answer{{"2001:db8::7fff:ffff:ffff:ffff", 0}, {"2001:db8::8000:0:0:0", 1}, {"2001:db8::ffff:ffff:ffff:ffff", 1}, {"2001:db8:0:1::", 0}}},
		{"same bits in both families", []string{"32.1.13.184/32", "2001:db8::/32"},
			[]answer{{"32.1.13.184", 1}, {"32.1.13.185", 0}, {"2001:db8::1", 2}, {"2001:db9::", 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, reverse := range []bool{false, true} {
				im := newTestImage(t, 1<<20, len(c.prefixes), Options{})
				tab := mustTable(t, im, 0)
				for i := range c.prefixes {
					if reverse {
						i = len(c.prefixes) - 1 - i
					}
					mustInsert(t, tab, GroupID(i+1), c.prefixes[i])
				}
				for _, a := range c.answers {
					mustLookup(t, tab, a.addr, a.group)
				}
				checkLookups(t, im)
				checkOwners(t, im)
				mustDelete(t, tab, c.prefixes...)
				for _, a := range c.answers {
					mustLookup(t, tab, a.addr, 0)
				}
			}
		})
	}
}

// A default route comes to and goes from a table that is full of others: it
// answers exactly where they do not.
func TestDefaultOverFilledTable(t *testing.T) {
	for _, def := range []string{"0.0.0.0/0", "::/0"} {
		t.Run(def, func(t *testing.T) {
			r := seed(t)
			im := newTestImage(t, 8<<20, 200, Options{})
			tab := mustTable(t, im, 0)
			var m model
			d := netip.MustParsePrefix(def)
			for range rounds(4000) {
				p := randomPrefix(r, d.Addr().Is6())
				if p.Bits() == 0 {
					continue
				}
				g := GroupID(1 + r.IntN(190))
				if err := tab.Insert(p, g); err != nil {
					t.Fatal(err)
				}
				m.Insert(p, g)
			}
			for i := range 3 {
				g := GroupID(195 + i)
				if err := tab.Insert(d, g); err != nil {
					t.Fatal(err)
				}
				m.Insert(d, g)
				check(t, tab, &m)
			}
			checkOwners(t, im)
			if err := tab.Delete(d); err != nil {
				t.Fatal(err)
			}
			m.Delete(d)
			check(t, tab, &m)
			checkOwners(t, im)
		})
	}
}

// 300 VRFs with the same few prefixes fit in less than 1 MiB, and none sees
// the routes of another.
func TestManyVRFs(t *testing.T) {
	const vrfs = 300
	im := newTestImage(t, 1<<20-4096, vrfs, Options{VRFs: vrfs})
	prefixes := []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.2.0/24", "::/0", "2001:db8::/32", "2001:db8::1/128"}
	for vrf := range vrfs {
		tab := mustTable(t, im, vrf)
		// Each VRF lacks one of the prefixes, and has a group of its own.
		for i, p := range prefixes {
			if i != vrf%len(prefixes) {
				mustInsert(t, tab, GroupID(vrf+1), p)
			}
		}
	}
	for vrf := range vrfs {
		tab := mustTable(t, im, vrf)
		var m model
		for i, p := range prefixes {
			if i != vrf%len(prefixes) {
				m.Insert(netip.MustParsePrefix(p), GroupID(vrf+1))
			}
		}
		check(t, tab, &m)
		for _, p := range prefixes {
			for _, a := range edges(netip.MustParsePrefix(p)) {
				if got := tab.Lookup(a); got != 0 && got != GroupID(vrf+1) {
					t.Fatalf("VRF %d: Lookup(%s) = %d, a group of another VRF", vrf, a, got)
				}
			}
		}
	}
	checkOwners(t, im)
	// A VRF that goes leaves the others as they are.
	if _, err := mustTable(t, im, 7).Replace(nil); err != nil {
		t.Fatal(err)
	}
	mustLookup(t, mustTable(t, im, 7), "10.1.2.3", 0)
	mustLookup(t, mustTable(t, im, 6), "10.1.2.3", 7)
	mustLookup(t, mustTable(t, im, 8), "10.1.2.3", 9) // it lacks 10.1.2.0/24: 8 % 6 == 2
	for _, vrf := range []int{-1, vrfs, 1 << 16} {
		_, err := im.Table(vrf)
		wantError(t, err, ErrNoVRF, fmt.Sprint(vrf))
	}
}

// The last VRF there is.
func TestLastVRF(t *testing.T) {
	im := newTestImage(t, 4<<20, 2, Options{VRFs: 1 << 16})
	mustInsert(t, mustTable(t, im, 0), 1, "0.0.0.0/0")
	tab := mustTable(t, im, 65535)
	mustInsert(t, tab, 2, "0.0.0.0/0", "10.0.0.0/8", "2001:db8::/32")
	mustLookup(t, tab, "1.1.1.1", 2)
	mustLookup(t, mustTable(t, im, 0), "10.1.1.1", 1)
	mustLookup(t, mustTable(t, im, 65534), "10.1.1.1", 0)
	checkLookups(t, im)
	checkOwners(t, im)
}

func TestLookupOfUnusableAddress(t *testing.T) {
	im := newTestImage(t, 1<<20, 2, Options{})
	tab := mustTable(t, im, 0)
	mustInsert(t, tab, 1, "0.0.0.0/0")
	mustInsert(t, tab, 2, "::/0")
	for _, c := range []struct {
		name string
		addr netip.Addr
		want GroupID
	}{
		{"invalid", netip.Addr{}, 0},
		{"IPv4-mapped", netip.MustParseAddr("::ffff:10.0.0.1"), 0},
		{"with a zone", netip.MustParseAddr("fe80::1%eth0"), 2}, // a zone does not choose a route
		{"IPv4", netip.MustParseAddr("10.0.0.1"), 1},
	} {
		if got := tab.Lookup(c.addr); got != c.want {
			t.Errorf("Lookup of an address that is %s = %d, want %d", c.name, got, c.want)
		}
	}
}

// What tables emptied of a few routes each take must not stay taken.
func TestEmptyTableTakesNothing(t *testing.T) {
	r := seed(t)
	im := newTestImage(t, 4<<20, 3, Options{})
	tab := mustTable(t, im, 0)
	mustInsert(t, tab, 1, "0.0.0.0/0") // a page of records stays
	mustDelete(t, tab, "0.0.0.0/0")
	used := int(im.alloc.used) * unitSize
	for round := range 20 {
		var m model
		for range 1 + r.IntN(60) {
			p := randomPrefix(r, round%2 == 0)
			if err := tab.Insert(p, GroupID(1+r.IntN(3))); err != nil {
				t.Fatal(err)
			}
			m.Insert(p, 1)
		}
		n := m.Size()
		for p := range m.All() {
			if err := tab.Delete(p); err != nil {
				t.Fatal(err)
			}
		}
		if int(im.alloc.used)*unitSize != used {
			t.Fatalf("round %d: an empty table takes %d bytes more after %d routes", round, int(im.alloc.used)*unitSize-used, n)
		}
	}
}
