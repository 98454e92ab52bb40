package xdp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
	"weft/fib"
)

// Resolve runs a made packet to each address through the program, as if it came
// in by a port, and says which groups the lookups found: 0 for no route. ok is
// false where a packet does not come to a lookup. It costs some 2 us an address.
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
	out := make([]byte, len(frames.ipv6)+growth)
	for i, a := range dst {
		*e.probe.mem.trace = bpf.Trace{Group: noLookup}
		frame := frames.to(a)
		if _, err := testRun(e.probe.progs.xdp, frame, out, runContext(dataplane.NativeXDP, len(frame), port.root.Ifindex)); err != nil {
			return fmt.Errorf("resolve %s: %w", a, err)
		}
		found := e.probe.mem.trace.Group
		if ok[i] = found != noLookup; ok[i] {
			group[i] = fib.GroupID(found)
		}
	}
	return nil
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

// resolveFrames are the least packets that are looked up.
type resolveFrames struct {
	ipv4, ipv6 []byte
	ip         int // where the IP packets begin
}

func newResolveFrames(mac dataplane.MAC, tags []byte) resolveFrames {
	frame := func(etherType uint16, ip ...byte) []byte {
		b := append(append([]byte(nil), mac[:]...), 2, 0, 0, 0, 0, 1)
		b = binary.BigEndian.AppendUint16(append(b, tags...), etherType)
		return append(append(b, ip...), make([]byte, 46-len(ip))...)
	}
	return resolveFrames{
		ipv4: frame(unix.ETH_P_IP, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 192, 0, 2, 1),
		ipv6: frame(unix.ETH_P_IPV6, 0x60, 0, 0, 0, 0, 6, unix.IPPROTO_UDP, 64,
			0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
		ip: 14 + len(tags),
	}
}

func (f *resolveFrames) to(a netip.Addr) []byte {
	if !a.Is4() {
		copy(f.ipv6[f.ip+24:], a.AsSlice())
		return f.ipv6
	}
	ip := f.ipv4[f.ip:][:20]
	copy(ip[16:], a.AsSlice())
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
