package xdp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"weft/bpf"
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
	port := e.ports[ingress]
	if port == nil {
		return fmt.Errorf("resolve addresses in by port %d: %w", ingress, ErrNoPort)
	}
	if err := e.needProbe(); err != nil {
		return fmt.Errorf("resolve addresses: %w", err)
	}
	frames := newResolveFrames(port.MAC)
	out := make([]byte, len(frames.ipv6)+growth)
	for i, a := range dst {
		frame := frames.to(a)
		*e.probe.mem.trace = bpf.Trace{Group: noLookup}
		_, err := e.probe.progs.xdp.Run(&ebpf.RunOptions{
			Data: frame, DataOut: out, Context: xdpMD{DataEnd: uint32(len(frame)), IngressIfindex: uint32(port.Ifindex)}, Repeat: 1,
		})
		if err != nil {
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

// resolveFrames are the least packets that are looked up.
type resolveFrames struct{ ipv4, ipv6 []byte }

func newResolveFrames(mac [6]byte) resolveFrames {
	f := resolveFrames{make([]byte, 60), make([]byte, 60)}
	for _, b := range [][]byte{f.ipv4, f.ipv6} {
		copy(b, mac[:])
		b[6] = 2
	}
	binary.BigEndian.PutUint16(f.ipv4[12:], unix.ETH_P_IP)
	copy(f.ipv4[14:], []byte{0x45, 0, 0, 46, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 192, 0, 2, 1})
	binary.BigEndian.PutUint16(f.ipv6[12:], unix.ETH_P_IPV6)
	copy(f.ipv6[14:], []byte{0x60, 0, 0, 0, 0, 6, unix.IPPROTO_UDP, 64, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	return f
}

func (f *resolveFrames) to(a netip.Addr) []byte {
	if !a.Is4() {
		copy(f.ipv6[38:], a.AsSlice())
		return f.ipv6
	}
	ip := f.ipv4[14:34]
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
