package control

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"weft/control/kernel"
	"weft/control/rib"
)

// digest is what the kernel says of a prefix. They are kept in order: a map of a million of
// them would cost more than all that is compared.
type digest struct {
	key rib.Key
	sum uint64 // of the digests of all routes to the prefix
}

func (d digest) compare(o digest) int { return d.key.Compare(o.key) }

// match returns what the kernel says of each of some prefixes, 0 for nothing, and of which
// others it says something. All are in order.
func match(all []digest, keys []rib.Key) (sums []uint64, others []digest) {
	sums = make([]uint64, len(keys))
	for i, k := range keys {
		for len(all) > 0 && all[0].key.Compare(k) < 0 {
			others, all = append(others, all[0]), all[1:]
		}
		if len(all) > 0 && all[0].key == k {
			sums[i], all = all[0].sum, all[1:]
		}
	}
	return sums, append(others, all...)
}

// apart returns digests as keys and sums.
func apart(all []digest) (keys []rib.Key, sums []uint64) {
	for _, d := range all {
		keys, sums = append(keys, d.key), append(sums, d.sum)
	}
	return keys, sums
}

// dump asks the kernel for all routes, of both families at once, and keeps those to
// some prefixes; nil: to all.
func (v *verification) dump(ctx context.Context, only map[rib.Key]Difference) ([]digest, error) {
	tables := [...]kernel.Table{kernel.RoutesIPv4, kernel.RoutesIPv6}
	var digesters [len(tables)]*rib.Digester
	var size [len(tables)]int
	if err := v.f.Do(ctx, func(r *rib.RIB) {
		for i := range digesters {
			digesters[i] = r.NewDigester()
		}
		if only == nil {
			size[0], size[1] = prefixes(r)
		}
	}); err != nil {
		return nil, err
	}
	type part struct {
		digests []digest
		err     error
	}
	var parts [len(tables)]chan part
	for i, table := range tables {
		parts[i] = make(chan part, 1)
		conn, err := kernel.Open() // in this thread's network namespace
		if err != nil {
			return nil, err
		}
		go func() {
			defer conn.Close()
			digests, err := dumpDigests(conn, table, digesters[i], size[i], only)
			parts[i] <- part{digests, err}
		}()
	}
	var all []digest
	var errs []error
	for _, p := range parts {
		one := <-p
		all, errs = append(all, one.digests...), append(errs, one.err)
	}
	if !slices.IsSortedFunc(all, digest.compare) { // there are VRFs, in each of which IPv4 comes first
		slices.SortFunc(all, digest.compare)
	}
	return all, errors.Join(errs...)
}

// prefixes counts what the image holds.
func prefixes(r *rib.RIB) (v4, v6 int) {
	for vrf := range r.VRFs {
		if t, err := r.Image().Table(vrf); err == nil {
			n4, n6 := t.Len()
			v4, v6 = v4+n4, v6+n6
		}
	}
	return v4, v6
}

// dumpDigests reads a table of about a size. What it misses is looked at again.
func dumpDigests(conn *kernel.Conn, table kernel.Table, d *rib.Digester, size int, only map[rib.Key]Difference) (all []digest, err error) {
	all = make([]digest, 0, size+size/16)
	for try := 1; try <= dumpTries; try++ {
		all = all[:0]
		var route kernel.Route
		err = conn.Dump(table, func(payload []byte) {
			if route.Decode(payload) != nil {
				return
			}
			k, sum, ok := d.Digest(&route)
			if !ok {
				return
			}
			if only != nil {
				if _, wanted := only[k]; !wanted {
					return
				}
			}
			all = append(all, digest{k, sum})
		})
		if !errors.Is(err, kernel.ErrInterrupted) {
			break
		}
	}
	if errors.Is(err, kernel.ErrInterrupted) {
		err = nil
	}
	slices.SortFunc(all, func(a, b digest) int { return cmp.Or(a.compare(b), cmp.Compare(a.sum, b.sum)) })
	return addUp(all), err
}

// addUp makes neighbors of one key be one, with their sum. What stands twice counts once: a dump
// of IPv6 shows it so when others have come meanwhile.
func addUp(all []digest) []digest {
	n, last := 0, uint64(0)
	for i, one := range all {
		if i > 0 && one.key == all[n-1].key {
			if one.sum != last {
				all[n-1].sum += one.sum
			}
			last = one.sum
			continue
		}
		last = one.sum
		all[n] = one
		n++
	}
	return all[:n]
}
