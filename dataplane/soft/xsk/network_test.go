package xsk_test

import (
	"net"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/vethtest"
	"weft/dataplane/soft/xsk"
)

// redirectAll attaches a program that gives all packets of an interface to the socket that its map has for the queue.
func redirectAll(t testing.TB, ifindex int) *ebpf.Map {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	const rxQueueIndex, pass = 16, 2 // struct xdp_md, enum xdp_action
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, rxQueueIndex, asm.Word),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Imm(asm.R3, pass),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: ifindex, Flags: link.XDPDriverMode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return m
}

// open makes a socket that is closed before its memory.
func open(t testing.TB, u *xsk.UMEM, p *device.Pool, w xsk.Where, o xsk.Options) *xsk.Socket {
	t.Helper()
	s, err := xsk.Open(u, p, w, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// twoPorts are two interfaces, with a socket for each on one memory.
type twoPorts struct {
	mem          *device.Memory
	pool         *device.Pool
	umem         *xsk.UMEM
	ports, peers [2]net.Interface
	sockets      [2]*xsk.Socket
}

func newTwoPorts(t testing.TB, frames int, o xsk.Options) *twoPorts {
	t.Helper()
	vethtest.Enter(t)
	p := new(twoPorts)
	p.mem, p.pool = vethtest.NewMemory(t, frames)
	p.umem = xsk.NewUMEM(p.mem)
	for i, name := range []string{"one", "two"} {
		p.ports[i], p.peers[i] = vethtest.Pair(t, name, 1)
		p.sockets[i] = open(t, p.umem, p.pool, xsk.Where{Port: uint32(i + 1), Ifindex: p.ports[i].Index}, o)
	}
	return p
}
