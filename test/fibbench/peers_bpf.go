package main

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"

	"weft/test/kernelroutes"
)

// floorWords is FLOOR_WORDS of bpf/peers.c.
const floorWords = 1 << 24

var (
	bpfFloor = source{
		name: "floor in BPF", root: true, open: openBPFFloor,
		rows: lookupRows("bpf", []string{"dep", "ind"}, []string{"nop", "floor"}),
	}
	bpfKernel = source{
		name: "fib_lookup", root: true, open: openFIBLookup,
		rows: lookupRows("bpf", []string{"dep", "ind"}, []string{"fib_lookup"}),
	}
	bpfLPMTrie = source{
		name: "lpm_trie", root: true, open: openLPMTrie,
		rows: lookupRows("bpf", []string{"dep", "ind"}, []string{"lpm_trie"}),
	}
)

// loadPeerPrograms loads the programs of bpf/peers.c whose engine is named, after tune has had its way with the object.
func loadPeerPrograms(tune func(*ebpf.CollectionSpec) error, engines ...string) (*ebpf.Collection, error) {
	spec, err := loadPeers()
	if err != nil {
		return nil, err
	}
	for name := range spec.Programs {
		m := bpfProgram.FindStringSubmatch(name)
		if !slices.Contains(engines, m[1]) {
			delete(spec.Programs, name)
		}
	}
	if err := tune(spec); err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		var refused *ebpf.VerifierError
		if errors.As(err, &refused) {
			return nil, fmt.Errorf("load %v: %w\n%+v", engines, err, refused.Log)
		}
		return nil, fmt.Errorf("load %v: %w", engines, err)
	}
	return coll, nil
}

// peerContest is the contest of all programs in coll, which it owns.
func peerContest(coll *ebpf.Collection) (*contest, error) {
	engines, err := bpfEngines(coll, nil)
	if err != nil {
		coll.Close()
		return nil, err
	}
	return &contest{engines: engines, close: coll.Close}, nil
}

func openBPFFloor(_ context.Context, s *setup) (*contest, error) {
	if words := s.floorBytes / 4; words < 1<<16 || words > floorWords {
		return nil, fmt.Errorf("set up floor: %d bytes is not within %d to %d", s.floorBytes, 4<<16, 4*floorWords)
	}
	coll, err := loadPeerPrograms(func(spec *ebpf.CollectionSpec) error {
		return spec.Variables["floor_shift"].Set(uint32(32 - (bits.Len(uint(s.floorBytes/4)) - 1)))
	}, "nop", "floor")
	if err != nil {
		return nil, err
	}
	c, err := peerContest(coll)
	if err != nil {
		return nil, err
	}
	for i := range c.engines {
		c.engines[i].unchecked = true
	}
	return c, nil
}

type lpmIPv4Key struct {
	PrefixLen uint32
	Addr      [4]byte
}

type lpmIPv6Key struct {
	PrefixLen uint32
	Addr      [16]byte
}

func openLPMTrie(_ context.Context, s *setup) (*contest, error) {
	coll, err := loadPeerPrograms(func(*ebpf.CollectionSpec) error { return nil }, "lpm_trie")
	if err != nil {
		return nil, err
	}
	keys4 := make([]lpmIPv4Key, len(s.table.ipv4))
	for i, p := range s.table.ipv4 {
		keys4[i] = lpmIPv4Key{uint32(p.Bits()), p.Addr().As4()}
	}
	keys6 := make([]lpmIPv6Key, len(s.table.ipv6))
	for i, p := range s.table.ipv6 {
		keys6[i] = lpmIPv6Key{uint32(p.Bits()), p.Addr().As16()}
	}
	if _, err := coll.Maps["lpm_ipv4_trie"].BatchUpdate(keys4, s.table.hops4, nil); err != nil {
		coll.Close()
		return nil, fmt.Errorf("fill lpm_trie with IPv4: %w", err)
	}
	if _, err := coll.Maps["lpm_ipv6_trie"].BatchUpdate(keys6, s.table.hops6, nil); err != nil {
		coll.Close()
		return nil, fmt.Errorf("fill lpm_trie with IPv6: %w", err)
	}
	return peerContest(coll)
}

func openFIBLookup(ctx context.Context, s *setup) (*contest, error) {
	port, err := makePort()
	if err != nil {
		return nil, fmt.Errorf("make port: %w", err)
	}
	for _, f := range []struct {
		prefixes []netip.Prefix
		hops     []uint32
		gateways netip.Addr
	}{
		{s.table.ipv4, s.table.hops4, gatewaysIPv4},
		{s.table.ipv6, s.table.hops6, gatewaysIPv6},
	} {
		if err := kernelroutes.Add(ctx, port, f.prefixes, f.hops, f.gateways); err != nil {
			return nil, fmt.Errorf("add kernel routes: %w", err)
		}
	}
	coll, err := loadPeerPrograms(func(spec *ebpf.CollectionSpec) error {
		return spec.Variables["fib_ifindex"].Set(uint32(port))
	}, "fib_lookup")
	if err != nil {
		return nil, err
	}
	return peerContest(coll)
}
