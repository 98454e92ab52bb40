package control

import (
	"context"
	"errors"
	"slices"

	"weft/control/kernel"
	"weft/control/rib"
)

// digests are what the kernel says of prefixes, in order, to be taken one by one: a map
// of a million of them would cost more than all that is compared.
type digests struct {
	rest   []digest
	passed []digest // nobody has asked for these
}

type digest struct {
	key rib.Key
	sum uint64 // of the digests of all routes to the prefix
}

// take returns what the kernel says of a prefix, 0 for nothing. Keys come in order.
func (d *digests) take(k rib.Key) uint64 {
	for len(d.rest) > 0 {
		first, c := d.rest[0], d.rest[0].key.Compare(k)
		if c > 0 {
			break
		}
		d.rest = d.rest[1:]
		if c == 0 {
			return first.sum
		}
		d.passed = append(d.passed, first)
	}
	return 0
}

// left returns the keys that nobody has asked for, and makes them be those passed.
func (d *digests) left() (keys []rib.Key) {
	d.passed, d.rest = append(d.passed, d.rest...), nil
	for _, one := range d.passed {
		keys = append(keys, one.key)
	}
	return keys
}

// dump asks the kernel for all routes, of both families at once, and keeps those to
// some prefixes; nil: to all.
func (v *verification) dump(ctx context.Context, only map[rib.Key]Difference) (*digests, error) {
	tables := [...]kernel.Table{kernel.RoutesIPv4, kernel.RoutesIPv6}
	var digesters [len(tables)]*rib.Digester
	if err := v.f.Do(ctx, func(r *rib.RIB) {
		for i := range digesters {
			digesters[i] = r.NewDigester()
		}
		v.digester = r.NewDigester()
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
			digests, err := dumpDigests(conn, table, digesters[i], only)
			parts[i] <- part{digests, err}
		}()
	}
	var d digests
	var errs []error
	for _, p := range parts {
		one := <-p
		d.rest, errs = append(d.rest, one.digests...), append(errs, one.err)
	}
	if !slices.IsSortedFunc(d.rest, digest.compare) { // there are VRFs, in each of which IPv4 comes first
		slices.SortFunc(d.rest, digest.compare)
	}
	return &d, errors.Join(errs...)
}

func (d digest) compare(o digest) int { return d.key.Compare(o.key) }

// dumpDigests reads a table. What it misses is looked at again.
func dumpDigests(conn *kernel.Conn, table kernel.Table, d *rib.Digester, only map[rib.Key]Difference) (all []digest, err error) {
	for try := 1; try <= dumpTries; try++ {
		all = all[:0]
		var route kernel.Route
		err = conn.Dump(table, func(payload []byte) {
			if route.Decode(payload) != nil {
				return
			}
			k, sum, ok := d.Digest(&route)
			if _, wanted := only[k]; ok && (only == nil || wanted) {
				all = append(all, digest{k, sum})
			}
		})
		if !errors.Is(err, kernel.ErrInterrupted) {
			break
		}
	}
	if errors.Is(err, kernel.ErrInterrupted) {
		err = nil
	}
	slices.SortFunc(all, digest.compare)
	return addUp(all), err
}

// addUp makes neighbors of one key be one, with their sum.
func addUp(all []digest) []digest {
	n := 0
	for i, one := range all {
		if i > 0 && one.key == all[n-1].key {
			all[n-1].sum += one.sum
			continue
		}
		all[n] = one
		n++
	}
	return all[:n]
}
