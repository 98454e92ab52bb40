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
	RIBAndImage     = "rib and image"
	ImageAndProgram = "image and program"
)

// Resolve says which groups a live program finds for addresses in a VRF; ok is
// false for one that no packet may be sent to, or when no port is in the VRF.
type Resolve func(vrf int, dst []netip.Addr, group []fib.GroupID, ok []bool) error

// Verified is what a comparison came to.
type Verified struct {
	IPv4, IPv6  int // prefixes compared
	Differences []Difference
}

const (
	verifyChunk = 1024                   // prefixes between two looks at changes
	verifyTries = 5                      // a difference that stays is one
	verifyPause = 300 * time.Millisecond // for what the kernel tells meanwhile
)

// Verify compares the kernel's tables, asked anew, with the RIB, the image and
// the live program, prefix by prefix, while all of them go on. What differs is
// looked at again before it counts: it may have changed between two looks.
//
// Errors: those of the kernel, of resolve and of ctx.
func (f *Follower) Verify(ctx context.Context, resolve Resolve, progress func(checked, total int)) (Verified, error) {
	conn, err := kernel.Open()
	if err != nil {
		return Verified{}, err
	}
	defer conn.Close()
	v := verification{f: f, conn: conn, resolve: resolve}
	suspects, err := v.compare(ctx, nil, progress)
	for try := 1; err == nil && len(suspects) > 0 && try < verifyTries; try++ {
		select {
		case <-time.After(verifyPause):
		case <-ctx.Done():
			return Verified{}, ctx.Err()
		}
		again := map[rib.Key]bool{}
		for k := range suspects {
			again[k] = true
		}
		suspects, err = v.compare(ctx, again, func(int, int) {})
	}
	if err != nil {
		return Verified{}, fmt.Errorf("verify: %w", err)
	}
	for _, k := range slices.SortedFunc(maps.Keys(suspects), rib.Key.Compare) {
		v.result.Differences = append(v.result.Differences, suspects[k])
	}
	return v.result, v.groups(ctx)
}

type verification struct {
	f       *Follower
	conn    *kernel.Conn
	resolve Resolve
	result  Verified
}

// compare returns the differences, of all prefixes or of some.
func (v *verification) compare(ctx context.Context, only map[rib.Key]bool, progress func(checked, total int)) (map[rib.Key]Difference, error) {
	digester, digests, err := v.dump(ctx)
	if err != nil {
		return nil, err
	}
	known := map[rib.Key]bool{}
	if err := v.f.Do(ctx, func(r *rib.RIB) {
		for _, k := range r.Keys(nil) {
			known[k] = true
		}
	}); err != nil {
		return nil, err
	}
	for k := range digests {
		known[k] = true
	}
	keys := slices.SortedFunc(maps.Keys(known), rib.Key.Compare)
	if only != nil {
		keys = slices.DeleteFunc(keys, func(k rib.Key) bool { return !only[k] })
	}
	found := map[rib.Key]Difference{}
	for at := 0; at < len(keys); at += verifyChunk {
		chunk := keys[at:min(at+verifyChunk, len(keys))]
		if err := v.f.Do(ctx, func(r *rib.RIB) { v.prefixes(r, digester, digests, chunk, found) }); err != nil {
			return nil, err
		}
		if err := v.program(ctx, chunk, found); err != nil {
			return nil, err
		}
		progress(at+len(chunk), len(keys))
	}
	if only == nil {
		for _, k := range keys {
			if k.Prefix().Addr().Is4() {
				v.result.IPv4++
			} else {
				v.result.IPv6++
			}
		}
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

// prefixes compares kernel, RIB and image.
func (v *verification) prefixes(r *rib.RIB, d *rib.Digester, digests map[rib.Key]uint64, keys []rib.Key, found map[rib.Key]Difference) {
	for _, k := range keys {
		here := Difference{VRF: k.VRF(), Prefix: k.Prefix()}
		if want, have := digests[k], r.Digest(d, k); want != have {
			here.Between, here.Want, here.Have = KernelAndRIB, told(want), told(have)
			found[k] = here
			continue
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

// program compares image and live program, by the first address of each prefix
// that packets may be sent to.
func (v *verification) program(ctx context.Context, keys []rib.Key, found map[rib.Key]Difference) error {
	for len(keys) > 0 {
		n := 1
		for n < len(keys) && keys[n].VRF() == keys[0].VRF() {
			n++
		}
		if err := v.programOf(ctx, keys[0].VRF(), keys[:n], found); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

func (v *verification) programOf(ctx context.Context, vrf int, keys []rib.Key, found map[rib.Key]Difference) error {
	addrs := make([]netip.Addr, len(keys))
	for i, k := range keys {
		addrs[i] = representative(k.Prefix())
	}
	want, have, ok := make([]fib.GroupID, len(keys)), make([]fib.GroupID, len(keys)), make([]bool, len(keys))
	var err error
	// In one go: the image does not change between the two answers.
	if doErr := v.f.Do(ctx, func(r *rib.RIB) {
		t, tableErr := r.Image().Table(vrf)
		if tableErr != nil {
			return // told of by prefixes
		}
		for i, a := range addrs {
			want[i] = t.Lookup(a)
		}
		err = v.resolve(vrf, addrs, have, ok)
	}); doErr != nil || err != nil {
		return errors.Join(doErr, err)
	}
	for i, k := range keys {
		if _, already := found[k]; ok[i] && want[i] != have[i] && !already {
			found[k] = Difference{
				VRF: vrf, Prefix: k.Prefix(), Between: ImageAndProgram,
				Want: fmt.Sprintf("%s: group %d", addrs[i], want[i]), Have: fmt.Sprintf("group %d", have[i]),
			}
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
		time.Sleep(verifyPause)
	}
}
