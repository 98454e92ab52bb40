package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
	"weft/fib"
)

// Resolve runs a made packet to each address through the program, as if it came
// in by a port, and says which groups the lookups found: 0 for no route. ok is
// false where a packet does not come to a lookup. It costs some 2 us an address, or
// 100 ns when there are thousands.
//
// Errors: ErrNoPort.
func (e *Engine) Resolve(ingress uint32, dst []netip.Addr, group []fib.GroupID, ok []bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.needProbe(); err != nil {
		return fmt.Errorf("resolve addresses: %w", err)
	}
	port := e.ports[ingress]
	if port == nil {
		return fmt.Errorf("resolve addresses in by port %d: %w", ingress, ErrNoPort)
	}
	frames := newResolveFrames(port.MAC, e.tags(port))
	each := e.probe.resolveEach
	if len(dst) >= manyAddresses {
		each = e.probe.resolveMany
	}
	return each(frames, port.root.Ifindex, dst, group, ok)
}

// manyAddresses is from how many on one run for all is faster: its begin and its end
// each wait until every CPU has been idle or switched tasks.
const manyAddresses = 1 << 14

// resolveEach runs each packet on its own.
func (p *probe) resolveEach(frames *resolveFrames, ifindex int, dst []netip.Addr, group []fib.GroupID, ok []bool) error {
	out := make([]byte, bpf.AskedFrame+growth)
	for i, a := range dst {
		*p.mem.trace = bpf.Trace{Group: noLookup}
		if _, err := testRun(p.progs.xdp, frames.to(a), out, runContext(dataplane.NativeXDP, bpf.AskedFrame, ifindex), 1); err != nil {
			return fmt.Errorf("resolve %s: %w", a, err)
		}
		group[i], ok[i] = lookedUp(p.mem.trace.Group)
	}
	return nil
}

// resolveMany has the kernel run one packet after the other.
func (p *probe) resolveMany(frames *resolveFrames, ifindex int, dst []netip.Addr, group []fib.GroupID, ok []bool) error {
	if err := p.needResolver(); err != nil {
		return fmt.Errorf("resolve addresses: %w", err)
	}
	for len(dst) > 0 {
		n := 1
		for n < min(len(dst), bpf.MaxAsked) && dst[n].Is4() == dst[0].Is4() {
			n++
		}
		answers, err := p.ask(frames, ifindex, dst[:n])
		if err != nil {
			return fmt.Errorf("resolve %d addresses from %s on: %w", n, dst[0], err)
		}
		for i, g := range answers {
			group[i], ok[i] = lookedUp(g)
		}
		dst, group, ok = dst[n:], group[n:], ok[n:]
	}
	return nil
}

// ask runs packets to addresses of one family. The answers are valid until the next call.
func (p *probe) ask(frames *resolveFrames, ifindex int, dst []netip.Addr) ([]uint32, error) {
	frame := frames.ipv6
	if dst[0].Is4() {
		frame = frames.to(netip.IPv4Unspecified())
	}
	p.asked.Turn, p.asked.Tags, p.asked.Ipv6 = 0, uint32(frames.ip-etherLen), 0
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&p.asked.Frame)), bpf.AskedFrame), frame)
	for i, a := range dst {
		if a.Is4() {
			b := a.As4()
			p.asked.Dst[i][0] = binary.NativeEndian.Uint32(b[:])
			continue
		}
		b := a.As16()
		p.asked.Ipv6 = 1
		p.asked.Dst[i] = *(*[4]uint32)(unsafe.Pointer(&b))
	}
	_, err := testRun(p.resolver.Program, frame, make([]byte, len(frame)+growth), runContext(dataplane.NativeXDP, len(frame), ifindex), len(dst))
	if err == nil && int(p.asked.Turn) != len(dst) {
		err = fmt.Errorf("it came to %d of %d packets", p.asked.Turn, len(dst))
	}
	answers := p.asked.Group[:len(dst)]
	answers[len(dst)-1] = p.mem.trace.Group // what the last packet has noted is still there
	return answers, err
}

// needResolver makes the program that asks the probe's, if there is none.
func (p *probe) needResolver() error {
	if p.resolver != nil {
		return nil
	}
	r, err := bpf.LoadResolver(p.progs.xdp, &p.state)
	if err != nil {
		return err
	}
	mem, err := unix.Mmap(r.Asked.FD(), 0, pages(r.Asked.ValueSize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return errors.Join(fmt.Errorf("map memory of what is asked: %w", err), r.Close())
	}
	p.resolver, p.askedMem, p.asked = r, mem, (*bpf.Asked)(unsafe.Pointer(&mem[0]))
	return nil
}

func (p *probe) closeResolver() error {
	if p.resolver == nil {
		return nil
	}
	return errors.Join(unix.Munmap(p.askedMem), p.resolver.Close())
}

func lookedUp(group uint32) (g fib.GroupID, ok bool) {
	if group == noLookup {
		return 0, false
	}
	return fib.GroupID(group), true
}

// noLookup is no group's number.
const noLookup = ^uint32(0)

// tags returns the VLAN tags with which frames come in by a port.
func (e *Engine) tags(p *port) (tags []byte) {
	for ; p.Parent != 0; p = e.ports[p.Parent] {
		tag := binary.BigEndian.AppendUint16(nil, p.TPID)
		tags = append(binary.BigEndian.AppendUint16(tag, p.VLAN), tags...)
	}
	return tags
}

// resolveFrames are packets that are looked up.
type resolveFrames struct {
	ipv4, ipv6 []byte
	ip         int // where the IP packets begin
}

func newResolveFrames(mac dataplane.MAC, tags []byte) *resolveFrames {
	room := bpf.AskedFrame - etherLen - len(tags) // for IP
	frame := func(etherType uint16, ip ...byte) []byte {
		b := append(append([]byte(nil), mac[:]...), 2, 0, 0, 0, 0, 1)
		b = binary.BigEndian.AppendUint16(append(b, tags...), etherType)
		return append(append(b, ip...), make([]byte, room-len(ip))...)
	}
	return &resolveFrames{
		ipv4: frame(unix.ETH_P_IP, 0x45, 0, 0, byte(room), 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 192, 0, 2, 1),
		ipv6: frame(unix.ETH_P_IPV6, 0x60, 0, 0, 0, 0, byte(room-ipv6Len), unix.IPPROTO_UDP, 64,
			0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
		ip: etherLen + len(tags),
	}
}

const etherLen, ipv6Len = 14, 40

func (f *resolveFrames) to(a netip.Addr) []byte {
	if !a.Is4() {
		b := a.As16()
		copy(f.ipv6[f.ip+24:], b[:])
		return f.ipv6
	}
	ip := f.ipv4[f.ip:][:20]
	b := a.As4()
	copy(ip[16:], b[:])
	ip[10], ip[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	return f.ipv4
}
