// Package steertest is what tests of steering programs need: ports, a FIB with a route of
// each kind, and packets to them.
package steertest

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
	"weft/fib"
)

// Ports of a Steering.
const (
	PortOne  = 1
	PortTwo  = 2
	PortVLAN = 3 // VLAN VLANID of PortOne
	VLANID   = 7
)

var (
	OurMAC  = [6]byte{2, 0, 0, 0, 0, 1}
	HostMAC = [6]byte{2, 0, 0, 0, 0, 0xaa}
)

// Steering is the program of an XSK port on a FIB, with all that it works on.
type Steering struct {
	*ebpf.Program
	t     testing.TB
	State *bpf.State
	XSKs  *ebpf.Map
	rows  []bpf.Row
	cpus  int
}

// mapped is the memory of a map.
func mapped(t testing.TB, m *ebpf.Map) []byte {
	t.Helper()
	size := (int(m.ValueSize()) + 4095) &^ 4095
	mem, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	return mem
}

// New makes ports by their interfaces: PortOne has a VLAN.
func New(t testing.TB, one, two int, flags uint16) *Steering {
	t.Helper()
	s := &Steering{t: t}
	var err error
	if s.cpus, err = ebpf.PossibleCPU(); err != nil {
		t.Fatal(err)
	}
	if s.State, err = bpf.NewState((PortVLAN+1)*s.cpus, 2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.State.Close() })
	s.rows = unsafe.Slice((*bpf.Row)(unsafe.Pointer(&mapped(t, s.State.Counters)[0])), (PortVLAN+1)*s.cpus)
	ports := (*bpf.Ports)(unsafe.Pointer(&mapped(t, s.State.Ports)[0]))
	for n := uint32(1); n <= PortVLAN; n++ {
		ports.Port[n] = bpf.Port{
			Mac: OurMAC, Number: uint16(n), Flags: bpf.PortIPv4 | bpf.PortIPv6 | flags,
			Counters: n * uint32(s.cpus) * uint32(unsafe.Sizeof(bpf.Row{})),
		}
	}
	ports.Port[PortOne].Flags |= 1 << bpf.PortTrunkShift
	ports.Port[PortVLAN].Flags |= bpf.PortVLAN
	ports.ByIfindex[one], ports.ByIfindex[two] = PortOne, PortTwo
	vlans := (*[2]bpf.VLANs)(unsafe.Pointer(&mapped(t, s.State.VLANs)[0]))
	vlans[1].Port[VLANID] = PortVLAN
	return s
}

// LoadXSK makes the program.
func (s *Steering) LoadXSK(im *bpf.Image, frameMax int, f bpf.Features) {
	s.t.Helper()
	var err error
	if s.XSKs, err = bpf.NewXSKs(PortVLAN + 1); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.XSKs.Close() })
	if s.Program, err = bpf.LoadXSK(im, s.State, s.XSKs, frameMax, f); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.Close() })
}

func (s *Steering) AttachXDP(ifindex int) {
	s.t.Helper()
	l, err := link.AttachXDP(link.XDPOptions{Program: s.Program, Interface: ifindex, Flags: link.XDPDriverMode})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
}

// Counters returns what has come in by a port.
func (s *Steering) Counters(port int) (sum dataplane.Counters) {
	for cpu := range s.cpus {
		for r, c := range s.rows[port*s.cpus+cpu] {
			sum[r].Add(dataplane.Counter{Packets: c.Packets, Bytes: c.Bytes})
		}
	}
	return sum
}

// One returns what one packet was counted for, and forgets it.
func (s *Steering) One(bytes int) (port int, reason dataplane.Reason) {
	s.t.Helper()
	packets := uint64(0)
	for n := range PortVLAN + 1 {
		for r, c := range s.Counters(n) {
			if c.Packets > 0 {
				port, reason = n, dataplane.Reason(r)
				packets += c.Packets
				if c.Bytes != uint64(bytes) {
					s.t.Errorf("counted %d bytes, want %d", c.Bytes, bytes)
				}
			}
		}
	}
	if packets != 1 {
		s.t.Fatalf("counted %d times", packets)
	}
	clear(s.rows)
	return port, reason
}

// NewFIB makes an image that has a route of each kind: 10.1.0.0/16 and 2001:db8:1::/48 to HostMAC by PortTwo.
func NewFIB(t testing.TB, chunked bool) *bpf.Image {
	t.Helper()
	create := func() (*bpf.Image, error) { return bpf.NewImage(1 << 20) }
	if chunked {
		create = func() (*bpf.Image, error) { return bpf.NewChunkedImage(2) }
	}
	image, err := create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { image.Close() })
	im, err := fib.Create(image.Mem(), fib.Options{HashSeed: 1})
	if err != nil {
		t.Fatal(err)
	}
	table, err := im.Table(0)
	if err != nil {
		t.Fatal(err)
	}
	adjacency := func(port uint32, complete bool) fib.AdjacencyID {
		a := fib.Adjacency{Port: port, MTU: 1500, Complete: complete, RewriteLen: 14}
		copy(a.Rewrite[:], HostMAC[:])
		copy(a.Rewrite[6:], OurMAC[:])
		id, err := im.AddAdjacency(a)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	good, incomplete, closed := adjacency(PortTwo, true), adjacency(PortTwo, false), adjacency(99, true)
	via := func(ids ...fib.AdjacencyID) fib.Group {
		g := fib.Group{Kind: fib.Forward}
		for _, id := range ids {
			g.Members = append(g.Members, fib.Member{Adjacency: id, Weight: 1})
		}
		return g
	}
	for i, g := range []fib.Group{
		{Kind: fib.Local}, via(good), via(good, incomplete), via(incomplete), via(closed),
		{Kind: fib.Glean, Port: PortTwo}, {Kind: fib.Blackhole}, {Kind: fib.Reject, Code: 1},
		{Kind: fib.Punt, Reason: uint16(dataplane.PuntRoute)},
	} {
		id, err := im.AddGroup(g)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i)}), 48),
		} {
			if err := table.Insert(p, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	return image
}

// Sum is the ones' complement sum of RFC 1071, by the book.
func Sum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// Packet is a UDP datagram as a host sends it, with room for 8 bytes of payload. The zero value of what is not given is
// filled in.
type Packet struct {
	DstMAC   [6]byte
	Src, Dst string
	TTL      byte
	Tags     []uint16
	Payload  int // bytes beside those 8
}

// Bytes makes the frame.
func (p Packet) Bytes() []byte {
	if p.DstMAC == [6]byte{} {
		p.DstMAC = OurMAC
	}
	if p.TTL == 0 {
		p.TTL = 64
	}
	f := append(append([]byte{}, p.DstMAC[:]...), HostMAC[:]...)
	for _, tag := range p.Tags {
		f = binary.BigEndian.AppendUint16(append(f, 0x81, 0), tag)
	}
	src, dst := netip.MustParseAddr(p.Src), netip.MustParseAddr(p.Dst)
	udp := make([]byte, 8+8+p.Payload)
	copy(udp, []byte{0x10, 0, 0x20, 0, byte(len(udp) >> 8), byte(len(udp))})
	pseudo := append(append(src.AsSlice(), dst.AsSlice()...), 0, unix.IPPROTO_UDP, udp[4], udp[5])
	binary.BigEndian.PutUint16(udp[6:], ^Sum(append(pseudo, udp...)))
	if src.Is4() {
		ip := append([]byte{0x45, 0, 0, 0, 0, 1, 0x40, 0, p.TTL, unix.IPPROTO_UDP, 0, 0}, append(src.AsSlice(), dst.AsSlice()...)...)
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(udp)))
		binary.BigEndian.PutUint16(ip[10:], ^Sum(ip))
		return append(append(append(f, 0x08, 0), ip...), udp...)
	}
	ip := append([]byte{0x60, 0, 0, 0, udp[4], udp[5], unix.IPPROTO_UDP, p.TTL}, append(src.AsSlice(), dst.AsSlice()...)...)
	return append(append(append(f, 0x86, 0xdd), ip...), udp...)
}
