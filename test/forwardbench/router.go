package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"

	"weft/test/fulltable"
	"weft/test/traffic"
)

// seed makes table and destinations the same in every run.
const seed = 1

// engineNames are in the order in which they are measured.
var engineNames = []string{"linux", "fib_lookup", "lpm_trie", "ceiling", "weft_xdp"}

// router is a topology with all engines for it.
type router struct {
	*topology
	peers   *peers
	weft    *weft
	engines map[string]engine

	cpu   int // of split
	soft  *softEngine
	split map[string]engine // of the rows soft/...
}

func newRouter(ctx context.Context, tab *table, o traffic.SinkOptions) (*router, error) {
	t, err := newTopology(ctx, tab, o)
	if err != nil {
		return nil, err
	}
	r := &router{topology: t}
	if r.peers, err = newPeers(t, tab); err == nil {
		r.weft, err = newWeft(ctx, t)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.engines = map[string]engine{"linux": linux{}, "weft_xdp": r.weft}
	for _, name := range []string{"fib_lookup", "lpm_trie", "ceiling"} {
		r.engines[name] = r.peers.engine(t, name)
	}
	return r, nil
}

func (r *router) close() error {
	var err error
	if r.soft != nil {
		err = within(r.router, r.soft.engine.Stop)
	}
	if r.weft != nil {
		err = within(r.router, r.weft.close)
	}
	if r.peers != nil {
		r.peers.coll.Close()
	}
	r.topology.close()
	return err
}

// forward sends packets through an engine, the first of them to warm the caches up, and returns what the sink says of the
// rest.
func (r *router) forward(name string, g *traffic.Generator, warm, n int) (counts traffic.Counts, err error) {
	return r.forwardBy(name, r.engines[name], g.Send, warm, n)
}

// forwardSplit is forward with packets made on CPUs that are not the router's and the sink's.
func (r *router) forwardSplit(name string, g *traffic.Generator, cpus *unix.CPUSet, warm, n int) (counts traffic.Counts, err error) {
	return r.forwardBy(name, r.split[name], func(n int) (sent int, err error) {
		err = onCPUs(cpus, func() (err error) {
			sent, err = g.Send(n)
			return err
		})
		return sent, err
	}, warm, n)
}

func (r *router) forwardBy(name string, e engine, send func(n int) (int, error), warm, n int) (counts traffic.Counts, err error) {
	if err := within(r.router, e.attach); err != nil {
		return counts, fmt.Errorf("attach %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, within(r.router, e.detach)) }()
	before, err := e.unforwarded()
	if err != nil {
		return counts, err
	}
	for _, n := range []int{warm, n} {
		if n == 0 {
			continue
		}
		if err := r.drain.Reset(); err != nil {
			return counts, err
		}
		sent, err := send(n)
		if err != nil {
			return counts, err
		}
		if counts, err = r.drain.Wait(uint64(sent)); err != nil {
			return counts, err
		}
	}
	left, err := e.unforwarded()
	if err == nil && left != before {
		err = fmt.Errorf("%s left %d packets of %d to Linux, or dropped them: no figure of it would be its own", name, left-before, warm+n)
	}
	return counts, err
}

// oneTable has one route of each family, for benchmarking (RFC 2544, RFC 5180).
func oneTable() *table {
	return &table{
		ipv4: []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15")}, hops4: []uint32{1},
		ipv6: []netip.Prefix{netip.MustParsePrefix("2001:2::/48")}, hops6: []uint32{1},
	}
}

// fullTable is the Internet's.
func fullTable() (*table, error) {
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		return nil, err
	}
	t := &table{ipv4: v4, hops4: fulltable.NextHops(len(v4), seed), ipv6: v6, hops6: fulltable.NextHops(len(v6), seed+1)}
	for _, hops := range [][]uint32{t.hops4, t.hops6} {
		for i, h := range hops {
			hops[i] = 1 + h%nextHops
		}
	}
	return t, nil
}

// oneDestinations returns n addresses that oneTable's route of a family covers, at random.
func oneDestinations(family string, n int) []netip.Addr {
	r := rand.New(rand.NewPCG(seed, 0))
	all := make([]netip.Addr, n)
	for i := range all {
		if family == "ipv4" {
			all[i] = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 198<<24|18<<16|r.Uint32()>>15)))
			continue
		}
		a := netip.MustParseAddr("2001:2::").As16()
		binary.BigEndian.PutUint64(a[8:], r.Uint64())
		all[i] = netip.AddrFrom16(a)
	}
	return all
}
