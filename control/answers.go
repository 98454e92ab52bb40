package control

import (
	"fmt"
	"net/netip"

	"weft/control/rib"
	"weft/fib"
)

// answers are what RIB, image and live program say of the first address of each of
// some prefixes that packets may be sent to.
type answers struct {
	keys  []rib.Key
	addrs []netip.Addr
	rib   []fib.GroupID
	image []fib.GroupID
	live  []fib.GroupID
	ok    []bool // the program came to a lookup
	none  []bool // there is no such table: told of elsewhere
}

func (v *verification) ask(keys []rib.Key) *answers {
	n := len(keys)
	a := &answers{
		keys: keys, addrs: make([]netip.Addr, n), rib: make([]fib.GroupID, n), image: make([]fib.GroupID, n),
		live: make([]fib.GroupID, n), ok: make([]bool, n), none: make([]bool, n),
	}
	for i, k := range keys {
		a.addrs[i] = representative(k.Prefix())
	}
	return a
}

// resolve asks the live program, VRF by VRF.
func (a *answers) resolve(resolve Resolve) error {
	for at := 0; at < len(a.keys); {
		end := at + 1
		for end < len(a.keys) && a.keys[end].VRF() == a.keys[at].VRF() {
			end++
		}
		if err := resolve(a.keys[at].VRF(), a.addrs[at:end], a.live[at:end], a.ok[at:end]); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// expect asks RIB and image. keys are those of a, with the ones behind them.
func (a *answers) expect(v *verification, r *rib.RIB, keys []rib.Key) {
	for i, addr := range a.addrs {
		t, err := r.Image().Table(keys[i].VRF())
		if a.none[i] = err != nil; err == nil {
			a.rib[i], a.image[i] = v.expected(r, keys[i:], addr), t.Lookup(addr)
		}
	}
}

// compare takes down what differs. Where prefix and image differ all else does, too.
func (a *answers) compare(found map[rib.Key]Difference) {
	for i, k := range a.keys {
		differs := func(between string, want, have fib.GroupID) {
			if found[k].Between != RIBAndImage && want != have && !a.none[i] {
				found[k] = Difference{
					VRF: k.VRF(), Prefix: k.Prefix(), Between: between,
					Want: fmt.Sprintf("%s: group %d", a.addrs[i], want), Have: fmt.Sprintf("group %d", have),
				}
			}
		}
		differs(RIBAndImage, a.rib[i], a.image[i])
		if a.ok[i] {
			differs(ImageAndProgram, a.image[i], a.live[i])
		}
	}
}

// expected returns the group that packets to the first address of keys[0] are to
// go to. Of all keys in order, the last with this address is the longest prefix.
func (v *verification) expected(r *rib.RIB, keys []rib.Key, first netip.Addr) fib.GroupID {
	k := keys[0]
	if !v.complete || k.Prefix().Addr() != first {
		return r.Lookup(k.VRF(), first)
	}
	if g, ok := r.HostAnswer(k.VRF(), first); ok {
		return g
	}
	for _, next := range keys[1:] {
		if !next.SameAddr(k) {
			break
		}
		k = next
	}
	if g, ok := r.Answer(k); ok {
		return g
	}
	return r.Lookup(k.VRF(), first) // it has gone
}

// representative returns an address in a prefix: not 0.0.0.0 or ::, which no
// packet is sent to.
func representative(p netip.Prefix) netip.Addr {
	for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{1}), netip.AddrFrom16([16]byte{0x20})} {
		if p.Addr().IsUnspecified() && p.Contains(a) {
			return a
		}
	}
	return p.Addr()
}
