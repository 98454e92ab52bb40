package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

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
	Rereading   Rereading // at the end
}

const (
	verifyChunk = 4096    // prefixes between two looks at changes
	agreeChunk  = 1024    // the same, when the live program is asked meanwhile
	askChunk    = 1 << 16 // addresses that it is asked about at once
	verifyTries = 5       // a difference that stays is one
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
	v := verification{f: f, resolve: resolve}
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
	if err == nil {
		err = v.reread(ctx)
	}
	if err != nil {
		return Verified{}, fmt.Errorf("verify: %w", err)
	}
	return v.result, nil
}

// reread takes note whether the kernel may have changed more than is known.
func (v *verification) reread(ctx context.Context) error {
	counts, err := v.f.Counts(ctx)
	v.result.Rereading = counts.Rereading
	return err
}

// changing stands in the place of those between whom a difference is.
const changing = "changing"

type verification struct {
	f       *Follower
	resolve Resolve
	result  Verified
}

// all compares all prefixes, and returns the differences. The kernel and the live program
// are asked at once, and before the rest: what has changed since is a difference at first.
func (v *verification) all(ctx context.Context, progress func(checked, total int)) (map[rib.Key]Difference, error) {
	c := comparison{complete: true}
	asked := make(chan error, 1)
	go func() {
		err := v.f.Do(ctx, func(r *rib.RIB) { c.keys = r.Keys(nil) })
		slices.SortFunc(c.keys, rib.Key.Compare)
		asked <- errors.Join(err, c.ask(ctx, v.resolve))
	}()
	dumped, err := v.dump(ctx, nil)
	if err = errors.Join(err, <-asked); err != nil {
		return nil, err
	}
	var others []digest
	c.kernel, others = match(dumped, c.keys)
	found, err := v.compare(ctx, &c, progress)
	if err != nil || len(others) == 0 {
		return found, err
	}
	var further comparison
	further.keys, further.kernel = apart(others)
	differences, err := v.compare(ctx, &further, progress)
	maps.Copy(found, differences)
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
	dumped, err := v.dump(ctx, suspects)
	if err == nil {
		err = pause(ctx)
	}
	if err != nil {
		return nil, err
	}
	counted, c := v.result, comparison{keys: keys}
	c.kernel, _ = match(dumped, keys)
	found, err := v.compare(ctx, &c, func(int, int) {})
	v.result = counted
	if err != nil {
		return nil, err
	}
	return found, v.f.Do(ctx, func(r *rib.RIB) {
		// With changes in the queue it is not known which prefixes they are of, and what is read
		// again may not be put together yet.
		unsure := v.f.waiting || v.f.running.Running || v.f.counts.Syncs != syncs || v.f.watcher.Pending() || len(v.f.arrived) > 0
		for k, d := range found {
			if d.Between == KernelAndRIB && (unsure || v.f.watched[k]) || r.IsBehind() {
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
func (v *verification) compare(ctx context.Context, c *comparison, progress func(checked, total int)) (map[rib.Key]Difference, error) {
	found, chunk := map[rib.Key]Difference{}, verifyChunk
	if c.live == nil {
		chunk = agreeChunk
	}
	for at := 0; at < len(c.keys); at += chunk {
		n := min(chunk, len(c.keys)-at)
		if err := v.chunk(ctx, c, at, n, found); err != nil {
			return nil, err
		}
		for _, k := range c.keys[at : at+n] {
			if k.Is4() {
				v.result.IPv4++
			} else {
				v.result.IPv6++
			}
		}
		progress(at+n, len(c.keys))
	}
	return found, nil
}

// chunk compares n prefixes in one go: neither RIB nor image change meanwhile. The live program
// is asked then, if it was not before.
func (v *verification) chunk(ctx context.Context, c *comparison, at, n int, found map[rib.Key]Difference) (err error) {
	doErr := v.f.Do(ctx, func(r *rib.RIB) {
		if c.live != nil {
			c.check(r, at, n, found)
			return
		}
		now := comparison{keys: c.keys[at : at+n], kernel: c.kernel[at : at+n]}
		if err = now.ask(ctx, v.resolve); err == nil {
			now.check(r, 0, n, found)
		}
	})
	return errors.Join(doErr, err)
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
