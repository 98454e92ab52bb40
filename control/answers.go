package control

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"

	"weft/control/rib"
	"weft/fib"
)

// comparison is what is compared of some prefixes, in order.
type comparison struct {
	keys     []rib.Key
	complete bool          // they are all of the RIB's
	kernel   []uint64      // digests
	live     []fib.GroupID // what the program says of the first address of each
	ok       []bool        // it came to a lookup
}

// ask asks the live program about the first address of each prefix that packets may
// be sent to, VRF by VRF.
func (c *comparison) ask(ctx context.Context, resolve Resolve) error {
	c.live, c.ok = make([]fib.GroupID, len(c.keys)), make([]bool, len(c.keys))
	var addrs []netip.Addr
	for at := 0; at < len(c.keys); at += len(addrs) {
		if err := ctx.Err(); err != nil {
			return err
		}
		vrf := c.keys[at].VRF()
		addrs = addrs[:0]
		for _, k := range c.keys[at:min(at+askChunk, len(c.keys))] {
			if k.VRF() != vrf {
				break
			}
			addrs = append(addrs, representative(k.Prefix()))
		}
		end := at + len(addrs)
		if err := resolve(vrf, addrs, c.live[at:end], c.ok[at:end]); err != nil {
			return err
		}
	}
	return nil
}

// check compares n prefixes on all cores, for others wait meanwhile.
func (c *comparison) check(r *rib.RIB, at, n int, found map[rib.Key]Difference) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	share := (n + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	for from := at; from < at+n; from += share {
		wg.Go(func() {
			for i := from; i < min(from+share, at+n); i++ {
				if d, differs := c.checkOne(r, i); differs {
					d.VRF, d.Prefix = c.keys[i].VRF(), c.keys[i].Prefix()
					mu.Lock()
					found[c.keys[i]] = d
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}

// checkOne compares a prefix. Between RIB and image nothing can change meanwhile: such a
// difference goes before one with the others.
func (c *comparison) checkOne(r *rib.RIB, i int) (d Difference, differs bool) {
	k := c.keys[i]
	group := func(id fib.GroupID) string { return fmt.Sprintf("group %d", id) }
	want, have, err := r.CheckPrefix(k)
	switch {
	case err != nil:
		return Difference{Between: RIBAndImage, Want: group(want), Have: err.Error()}, true
	case want != have:
		return Difference{Between: RIBAndImage, Want: group(want), Have: group(have)}, true
	}
	if t, err := r.Image().Table(k.VRF()); err == nil { // no such table: told of elsewhere
		addr := representative(k.Prefix())
		want, have := c.expected(r, i, addr, want), t.Lookup(addr)
		switch {
		case want != have:
			return Difference{Between: RIBAndImage, Want: fmt.Sprintf("%s: group %d", addr, want), Have: group(have)}, true
		case c.ok[i] && have != c.live[i]:
			return Difference{Between: ImageAndProgram, Want: fmt.Sprintf("%s: group %d", addr, have), Have: group(c.live[i])}, true
		}
	}
	if want, have := c.kernel[i], r.Digest(k); want != have {
		return Difference{Between: KernelAndRIB, Want: told(want), Have: told(have)}, true
	}
	if want, have, same := r.CheckExport(k); !same {
		return Difference{Between: RIBAndKernel, Want: want, Have: have}, true
	}
	return Difference{}, false
}

func told(digest uint64) string {
	if digest == 0 {
		return "no route"
	}
	return fmt.Sprintf("routes %016x", digest)
}

// expected returns the group that packets to the first address of a prefix are to go to:
// that of the prefix itself, or of another one with this address. Of all keys in order,
// the last with it is the longest prefix.
func (c *comparison) expected(r *rib.RIB, i int, first netip.Addr, own fib.GroupID) fib.GroupID {
	k := c.keys[i]
	if !c.complete || k.Prefix().Addr() != first {
		return r.Lookup(k.VRF(), first)
	}
	if g, ok := r.HostAnswer(k.VRF(), first); ok {
		return g
	}
	last := k
	for _, next := range c.keys[i+1:] {
		if !next.SameAddr(k) {
			break
		}
		last = next
	}
	if last == k && own != 0 {
		return own
	}
	if g, ok := r.Answer(last); ok {
		return g
	}
	return r.Lookup(k.VRF(), first) // it has gone
}

// representative returns an address in a prefix: not 0.0.0.0 or ::, which no
// packet is sent to.
func representative(p netip.Prefix) netip.Addr {
	if !p.Addr().IsUnspecified() {
		return p.Addr()
	}
	for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{1}), netip.AddrFrom16([16]byte{0x20})} {
		if p.Contains(a) {
			return a
		}
	}
	return p.Addr()
}
