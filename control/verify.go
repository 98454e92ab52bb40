package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"weft/control/kernel"
	"weft/control/rib"
	"weft/fib"
)

// Difference is one thing that two of those who should agree see otherwise.
type Difference struct {
	VRF     int
	Prefix  netip.Prefix // not valid: it is about a group
	Between string       // such as "kernel and rib"
	Want    string
	Have    string
}

// Between whom a Difference is.
const (
	KernelAndRIB    = "kernel and rib"
	RIBAndKernel    = "rib and kernel" // weft's own routes, and those of them that the kernel has
	RIBAndImage     = "rib and image"
	ImageAndProgram = "image and program"
)

// Resolve says which groups a live program finds for addresses in a VRF; ok is
// false for one that no packet may be sent to, or when no port is in the VRF.
type Resolve func(vrf int, dst []netip.Addr, group []fib.GroupID, ok []bool) error

// Verified is what a comparison came to.
type Verified struct {
	IPv4, IPv6  int // prefixes compared
	Changing    int // of them: those that changed with each look, so that nothing can be said
	Differences []Difference
}

const (
	verifyChunk = 1024 // prefixes between two looks at changes
	verifyTries = 5    // a difference that stays is one
)

// verifyPause is for what the kernel tells meanwhile. Tests make it shorter.
var verifyPause = 300 * time.Millisecond

// Verify compares the kernel's tables, asked anew, with the RIB, the image and
// the live program, and weft's own routes with what the kernel has of them, prefix by prefix, while all of them go on. What differs is
// looked at again before it counts: it may have changed between two looks. It
// waits for the first synchronization, and for other verifications.
//
// Errors: those of the kernel, of resolve and of ctx; ErrStopped.
func (f *Follower) Verify(ctx context.Context, resolve Resolve, progress func(checked, total int)) (Verified, error) {
	select {
	case <-f.synced:
	case <-f.done:
		return Verified{}, ErrStopped
	case <-ctx.Done():
		return Verified{}, ctx.Err()
	}
	f.verifying.Lock()
	defer f.verifying.Unlock()
	conn, err := kernel.Open()
	if err != nil {
		return Verified{}, err
	}
	defer conn.Close()
	v := verification{f: f, conn: conn, resolve: resolve}
	found, err := v.all(ctx, progress)
	for try := 1; err == nil && len(found) > 0 && try < verifyTries; try++ {
		found, err = v.again(ctx, found)
	}
	for _, k := range slices.SortedFunc(maps.Keys(found), rib.Key.Compare) {
		if found[k].Between == changing {
			v.result.Changing++
		} else {
			v.result.Differences = append(v.result.Differences, found[k])
		}
	}
	if err == nil {
		err = v.groups(ctx)
	}
	if err != nil {
		return Verified{}, fmt.Errorf("verify: %w", err)
	}
	return v.result, nil
}

// changing stands in the place of those between whom a difference is.
const changing = "changing"

type verification struct {
	f       *Follower
	conn    *kernel.Conn
	resolve Resolve
	result  Verified

	complete bool // the keys that are compared are all of the RIB's
}

// all compares all prefixes, and returns the differences.
func (v *verification) all(ctx context.Context, progress func(checked, total int)) (map[rib.Key]Difference, error) {
	digester, digests, err := v.dump(ctx)
	if err != nil {
		return nil, err
	}
	var keys []rib.Key
	if err := v.f.Do(ctx, func(r *rib.RIB) { keys = r.Keys(nil) }); err != nil {
		return nil, err
	}
	slices.SortFunc(keys, rib.Key.Compare)
	v.complete = true
	found, err := v.compare(ctx, digester, digests, keys, progress)
	v.complete = false
	if err != nil || len(digests) == 0 {
		return found, err
	}
	// What the RIB does not have is left.
	further, err := v.compare(ctx, digester, digests, slices.SortedFunc(maps.Keys(digests), rib.Key.Compare), progress)
	maps.Copy(found, further)
	return found, err
}

// again compares some prefixes after a while, and says of those that have
// changed meanwhile that they have.
func (v *verification) again(ctx context.Context, suspects map[rib.Key]Difference) (map[rib.Key]Difference, error) {
	keys := slices.SortedFunc(maps.Keys(suspects), rib.Key.Compare)
	syncs := uint64(0)
	if err := v.f.Do(ctx, func(*rib.RIB) {
		syncs, v.f.watched = v.f.counts.Syncs, map[rib.Key]bool{}
		for _, k := range keys {
			v.f.watched[k] = false
		}
	}); err != nil {
		return nil, err
	}
	digester, digests, err := v.dump(ctx)
	if err == nil {
		err = pause(ctx)
	}
	if err != nil {
		return nil, err
	}
	counted := v.result
	found, err := v.compare(ctx, digester, digests, keys, func(int, int) {})
	v.result = counted
	if err != nil {
		return nil, err
	}
	return found, v.f.Do(ctx, func(*rib.RIB) {
		// With changes in the queue it is not known which prefixes they are of.
		unsure := v.f.waiting || v.f.counts.Syncs != syncs || v.f.watcher.Pending() || len(v.f.arrived) > 0
		for k, d := range found {
			if d.Between == KernelAndRIB && (unsure || v.f.watched[k]) {
				found[k] = Difference{VRF: k.VRF(), Prefix: k.Prefix(), Between: changing}
			}
		}
		v.f.watched = nil
	})
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(verifyPause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// compare returns the differences of some prefixes.
func (v *verification) compare(ctx context.Context, d *rib.Digester, digests map[rib.Key]uint64, keys []rib.Key, progress func(checked, total int)) (map[rib.Key]Difference, error) {
	found := map[rib.Key]Difference{}
	for at := 0; at < len(keys); at += verifyChunk {
		chunk := keys[at:min(at+verifyChunk, len(keys))]
		if err := v.f.Do(ctx, func(r *rib.RIB) { v.prefixes(r, d, digests, chunk, found) }); err != nil {
			return nil, err
		}
		if err := v.program(ctx, keys[at:], len(chunk), found); err != nil {
			return nil, err
		}
		for _, k := range chunk {
			if k.Prefix().Addr().Is4() {
				v.result.IPv4++
			} else {
				v.result.IPv6++
			}
		}
		progress(at+len(chunk), len(keys))
	}
	return found, nil
}

// dump asks the kernel for all routes.
func (v *verification) dump(ctx context.Context) (digester *rib.Digester, digests map[rib.Key]uint64, err error) {
	if err := v.f.Do(ctx, func(r *rib.RIB) { digester = r.NewDigester() }); err != nil {
		return nil, nil, err
	}
	for try := 1; ; try++ {
		digests = map[rib.Key]uint64{}
		var route kernel.Route
		err = nil
		for _, table := range []kernel.Table{kernel.RoutesIPv4, kernel.RoutesIPv6} {
			err = errors.Join(err, v.conn.Dump(table, func(payload []byte) {
				if route.Decode(payload) != nil {
					return
				}
				if k, digest, ok := digester.Digest(&route); ok {
					digests[k] += digest
				}
			}))
		}
		if !errors.Is(err, kernel.ErrInterrupted) || try == dumpTries {
			break
		}
	}
	if errors.Is(err, kernel.ErrInterrupted) {
		err = nil // what it missed is looked at again
	}
	return digester, digests, err
}

// prefixes compares kernel, RIB and image. Between RIB, image and program nothing
// can change meanwhile: such a difference goes before one with the kernel.
func (v *verification) prefixes(r *rib.RIB, d *rib.Digester, digests map[rib.Key]uint64, keys []rib.Key, found map[rib.Key]Difference) {
	for _, k := range keys {
		here := Difference{VRF: k.VRF(), Prefix: k.Prefix()}
		want, have := digests[k], r.Digest(d, k)
		if delete(digests, k); want != have {
			here.Between, here.Want, here.Have = KernelAndRIB, told(want), told(have)
			found[k] = here
		} else if want, have, same := r.CheckExport(k); !same {
			here.Between, here.Want, here.Have = RIBAndKernel, want, have
			found[k] = here
		}
		if want, have, err := r.CheckPrefix(k); err != nil || want != have {
			here.Between, here.Want, here.Have = RIBAndImage, fmt.Sprintf("group %d", want), fmt.Sprintf("group %d", have)
			if err != nil {
				here.Have = err.Error()
			}
			found[k] = here
		}
	}
}

func told(digest uint64) string {
	if digest == 0 {
		return "no route"
	}
	return fmt.Sprintf("routes %016x", digest)
}

// program compares what RIB, image and live program answer for the first address
// of each of the first n prefixes that packets may be sent to.
func (v *verification) program(ctx context.Context, keys []rib.Key, n int, found map[rib.Key]Difference) error {
	for n > 0 {
		same := 1
		for same < n && keys[same].VRF() == keys[0].VRF() {
			same++
		}
		if err := v.programOf(ctx, keys, same, found); err != nil {
			return err
		}
		keys, n = keys[same:], n-same
	}
	return nil
}

// expected returns the group that packets to the first address of keys[0] are to
// go to. Of all keys in order, the last with this address is the longest prefix.
func (v *verification) expected(r *rib.RIB, keys []rib.Key, first netip.Addr) fib.GroupID {
	k := keys[0]
	if !v.complete || k.Prefix().Addr() != first {
		return r.Lookup(k.VRF(), first)
	}
	if g, ok := r.Answer(rib.KeyOf(k.VRF(), netip.PrefixFrom(first, first.BitLen()))); ok {
		return g
	}
	for _, next := range keys[1:] {
		if next.VRF() != k.VRF() || next.Prefix().Addr() != first {
			break
		}
		k = next
	}
	if g, ok := r.Answer(k); ok {
		return g
	}
	return r.Lookup(k.VRF(), first) // it has gone
}

func (v *verification) programOf(ctx context.Context, keys []rib.Key, n int, found map[rib.Key]Difference) error {
	vrf, addrs := keys[0].VRF(), make([]netip.Addr, n)
	for i := range addrs {
		addrs[i] = representative(keys[i].Prefix())
	}
	want, have, ok := make([]fib.GroupID, n), make([]fib.GroupID, n), make([]bool, n)
	differs := func(i int, between string, want, have fib.GroupID) {
		if found[keys[i]].Between != RIBAndImage && want != have {
			found[keys[i]] = Difference{
				VRF: vrf, Prefix: keys[i].Prefix(), Between: between,
				Want: fmt.Sprintf("%s: group %d", addrs[i], want), Have: fmt.Sprintf("group %d", have),
			}
		}
	}
	var err error
	// In one go: the image does not change between the answers.
	if doErr := v.f.Do(ctx, func(r *rib.RIB) {
		t, tableErr := r.Image().Table(vrf)
		if tableErr != nil {
			return // told of by prefixes
		}
		for i, a := range addrs {
			want[i] = t.Lookup(a)
			differs(i, RIBAndImage, v.expected(r, keys[i:], a), want[i])
		}
		err = v.resolve(vrf, addrs, have, ok)
	}); doErr != nil || err != nil {
		return errors.Join(doErr, err)
	}
	for i := range ok {
		if ok[i] {
			differs(i, ImageAndProgram, want[i], have[i])
		}
	}
	return nil
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

// groups compares groups and adjacencies, and how many prefixes there are.
func (v *verification) groups(ctx context.Context) error {
	for try := 1; ; try++ {
		var all []Difference
		if err := v.f.Do(ctx, func(r *rib.RIB) {
			for _, text := range r.CheckGroups() {
				all = append(all, Difference{Between: RIBAndImage, Have: text})
			}
			for vrf := range r.VRFs {
				t, err := r.Image().Table(vrf)
				if err != nil {
					continue
				}
				if v4, v6 := t.Len(); v4+v6 != r.Len(vrf) {
					all = append(all, Difference{
						VRF: vrf, Between: RIBAndImage, Want: fmt.Sprintf("%d prefixes", r.Len(vrf)), Have: fmt.Sprintf("%d", v4+v6),
					})
				}
			}
		}); err != nil {
			return err
		}
		if len(all) == 0 || try == verifyTries {
			v.result.Differences = append(v.result.Differences, all...)
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}
