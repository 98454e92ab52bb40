package peer

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// linux is what forwards when nothing else does.
type linux struct{}

func (linux) attach() error                { return nil }
func (linux) detach() error                { return nil }
func (linux) unforwarded() (uint64, error) { return 0, nil }
func (linux) close() error                 { return nil }

// programs are those of peers.c for one network.
type programs struct {
	coll   *ebpf.Collection
	passed *ebpf.Variable
}

func (n *Network) loadPrograms() (*programs, error) {
	spec, err := loadPeers()
	if err != nil {
		return nil, err
	}
	if n.options.jumbo() { // they only look at headers, which are in the first piece
		for _, p := range spec.Programs {
			p.Flags |= unix.BPF_F_XDP_HAS_FRAGS
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load programs: %w", err)
	}
	p := &programs{coll: coll, passed: coll.Variables["passed"]}
	// A device map finds an interface in the namespace of who writes the entry.
	if err := n.InRouter(func() error { return p.fill(n) }); err != nil {
		coll.Close()
		return nil, fmt.Errorf("fill tables of programs: %w", err)
	}
	return p, nil
}

// program makes an engine of one program.
func program(name string) func(*Network) (engine, error) {
	return func(n *Network) (_ engine, err error) {
		if n.programs == nil {
			if n.programs, err = n.loadPrograms(); err != nil {
				return nil, err
			}
		}
		if name == "lpm_trie" {
			err = n.programs.fillTries(n.options.Table)
		}
		return &xdpProgram{programs: n.programs, prog: n.programs.coll.Programs[name], in: n.in}, err
	}
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

func (p *programs) fill(n *Network) error {
	var hops [256]nextHop
	for hop := 1; hop <= NextHops; hop++ {
		hops[hop] = nextHop{[2]mac{n.hopMAC(hop), outMAC}, uint32(n.out)}
	}
	if err := p.coll.Variables["next_hops"].Set(hops); err != nil {
		return err
	}
	return p.coll.Maps["tx_ports"].Put(uint32(n.out), uint32(n.out))
}

func (p *programs) fillTries(tab *Table) error {
	keys4 := make([]lpmIPv4Key, len(tab.IPv4))
	for i, p := range tab.IPv4 {
		keys4[i] = lpmIPv4Key{uint32(p.Bits()), p.Addr().As4()}
	}
	keys6 := make([]lpmIPv6Key, len(tab.IPv6))
	for i, p := range tab.IPv6 {
		keys6[i] = lpmIPv6Key{uint32(p.Bits()), p.Addr().As16()}
	}
	if _, err := p.coll.Maps["lpm_ipv4_trie"].BatchUpdate(keys4, tab.Hops4, nil); err != nil {
		return err
	}
	_, err := p.coll.Maps["lpm_ipv6_trie"].BatchUpdate(keys6, tab.Hops6, nil)
	return err
}

type xdpProgram struct {
	*programs
	prog *ebpf.Program
	in   int
	link link.Link
}

func (p *xdpProgram) attach() (err error) {
	p.link, err = link.AttachXDP(link.XDPOptions{Program: p.prog, Interface: p.in, Flags: link.XDPDriverMode})
	return err
}

func (p *xdpProgram) detach() error {
	err := p.link.Close()
	p.link = nil
	return err
}

func (p *xdpProgram) unforwarded() (n uint64, err error) {
	err = p.passed.Get(&n)
	return n, err
}

func (p *xdpProgram) close() error {
	if p.link == nil {
		return nil
	}
	return p.detach()
}
