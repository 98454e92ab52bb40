package main

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// engine is one way to forward. It is attached to the router's ports for each measurement and detached after it. Both
// are called on a thread in the router's namespace.
type engine interface {
	attach() error
	detach() error
	// unforwarded returns how many packets the engine has had so far that it left to another.
	unforwarded() (uint64, error)
}

// linux is what forwards when nothing else does.
type linux struct{}

func (linux) attach() error                { return nil }
func (linux) detach() error                { return nil }
func (linux) unforwarded() (uint64, error) { return 0, nil }

// peers are the programs of bpf/peers.c for one topology.
type peers struct {
	coll   *ebpf.Collection
	passed *ebpf.Variable
}

// newPeers loads the programs, for a router that knows tab.
func newPeers(t *topology, tab *table) (*peers, error) {
	coll, err := loadPeerPrograms()
	if err != nil {
		return nil, err
	}
	p := &peers{coll, coll.Variables["passed"]}
	// A device map finds an interface in the namespace of who writes the entry.
	if err := within(t.router, func() error { return p.fill(t, tab) }); err != nil {
		coll.Close()
		return nil, fmt.Errorf("fill tables of peers: %w", err)
	}
	return p, nil
}

func loadPeerPrograms() (*ebpf.Collection, error) {
	spec, err := loadPeers()
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load peers: %w", err)
	}
	return coll, nil
}

type lpmIPv4Key struct {
	PrefixLen uint32
	Addr      [4]byte
}

type lpmIPv6Key struct {
	PrefixLen uint32
	Addr      [16]byte
}

type nextHop struct {
	MACs    [2]mac
	Ifindex uint32
}

func (p *peers) fill(t *topology, tab *table) error {
	var hops [256]nextHop
	for n := 1; n <= nextHops; n++ {
		hops[n] = nextHop{[2]mac{hopMAC(n), outMAC}, uint32(t.out)}
	}
	if err := p.coll.Variables["next_hops"].Set(hops); err != nil {
		return err
	}
	if err := p.coll.Maps["tx_ports"].Put(uint32(t.out), uint32(t.out)); err != nil {
		return err
	}
	keys4 := make([]lpmIPv4Key, len(tab.ipv4))
	for i, p := range tab.ipv4 {
		keys4[i] = lpmIPv4Key{uint32(p.Bits()), p.Addr().As4()}
	}
	keys6 := make([]lpmIPv6Key, len(tab.ipv6))
	for i, p := range tab.ipv6 {
		keys6[i] = lpmIPv6Key{uint32(p.Bits()), p.Addr().As16()}
	}
	if _, err := p.coll.Maps["lpm_ipv4_trie"].BatchUpdate(keys4, tab.hops4, nil); err != nil {
		return err
	}
	_, err := p.coll.Maps["lpm_ipv6_trie"].BatchUpdate(keys6, tab.hops6, nil)
	return err
}

// engine returns that of one program.
func (p *peers) engine(t *topology, name string) engine {
	return &peer{peers: p, prog: p.coll.Programs[name], in: t.in}
}

type peer struct {
	*peers
	prog *ebpf.Program
	in   int
	link link.Link
}

func (p *peer) attach() (err error) {
	p.link, err = link.AttachXDP(link.XDPOptions{Program: p.prog, Interface: p.in, Flags: link.XDPDriverMode})
	return err
}

func (p *peer) detach() error { return errors.Join(p.link.Close()) }

func (p *peer) unforwarded() (n uint64, err error) {
	err = p.passed.Get(&n)
	return n, err
}
