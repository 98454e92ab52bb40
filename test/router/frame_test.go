package router

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const ethLen = 14

// datagram is a UDP packet as it lies on the wire. The zero value of what is not
// given is filled in.
type datagram struct {
	from, to   [6]byte
	src, dst   netip.Addr
	ttl        uint8  // 0: 64
	sport      uint16 // 0: 40000
	payload    int    // bytes; 0: 32
	fragmented bool   // IPv4: may be
}

func (d datagram) bytes() []byte {
	if d.ttl == 0 {
		d.ttl = 64
	}
	if d.sport == 0 {
		d.sport = 40000
	}
	if d.payload == 0 {
		d.payload = 32
	}
	udp := make([]byte, 8+d.payload)
	binary.BigEndian.PutUint16(udp, d.sport)
	binary.BigEndian.PutUint16(udp[2:], 7777)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	for i := range d.payload {
		udp[8+i] = byte(i * 7)
	}
	pseudo := binary.BigEndian.AppendUint32(append(d.src.AsSlice(), d.dst.AsSlice()...), uint32(len(udp)))
	binary.BigEndian.PutUint16(udp[6:], checksum(append(pseudo, 0, 0, 0, unix.IPPROTO_UDP), udp))
	frame := append(append([]byte{}, d.to[:]...), d.from[:]...)
	if d.src.Is6() {
		frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0)
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(udp)))
		frame = append(frame, unix.IPPROTO_UDP, d.ttl)
		return append(append(append(frame, d.src.AsSlice()...), d.dst.AsSlice()...), udp...)
	}
	ip := []byte{0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, d.ttl, unix.IPPROTO_UDP, 0, 0}
	if d.fragmented {
		ip[6] = 0
	}
	ip = append(append(ip, d.src.AsSlice()...), d.dst.AsSlice()...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(udp)))
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return append(append(append(frame, 0x08, 0x00), ip...), udp...)
}

// checksum is that of RFC 1071 over parts of even length, but for the last.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for len(b) > 0 {
			if len(b) == 1 {
				b = []byte{b[0], 0}
			}
			sum += uint32(binary.BigEndian.Uint16(b))
			b = b[2:]
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// wire is an open AF_PACKET socket on an interface of a host.
type wire struct {
	*network
	fd int
}

func (n *network) wire(node, name string) *wire {
	n.Helper()
	w := &wire{network: n}
	ifindex := n.link(node, name).Attrs().Index
	err := n.lab.In(node, func() (err error) {
		all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all)); err != nil {
			return err
		}
		return unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex})
	})
	if err != nil {
		n.Fatalf("open AF_PACKET at %s of %s: %v", name, node, err)
	}
	n.Cleanup(func() { unix.Close(w.fd) })
	return w
}

func (w *wire) send(frame []byte) {
	w.Helper()
	if _, err := unix.Write(w.fd, frame); err != nil {
		w.Fatalf("send frame of %d bytes: %v", len(frame), err)
	}
}

// receive returns the next frame that came in and is as wanted, or nil if there
// is none for a time.
func (w *wire) receive(patience time.Duration, is func(frame []byte) bool) []byte {
	w.Helper()
	buf := make([]byte, 65536)
	for deadline := time.Now().Add(patience); ; {
		size, from, err := unix.Recvfrom(w.fd, buf, 0)
		switch {
		case err == nil:
			if from, ok := from.(*unix.SockaddrLinklayer); ok && from.Pkttype != unix.PACKET_OUTGOING && is(buf[:size]) {
				return bytes.Clone(buf[:size])
			}
			continue
		case err != unix.EAGAIN && err != unix.EINTR && err != unix.ENETDOWN:
			w.Fatalf("receive frames: %v", err)
		case time.Now().After(deadline):
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

// patience is for what must come, quiet for what must not.
const (
	patience = 5 * time.Second
	quiet    = 100 * time.Millisecond
)

// isUDP recognizes the datagrams of datagram, forwarded or not.
func isUDP(frame []byte) bool {
	switch {
	case len(frame) < ethLen+28:
		return false
	case frame[12] == 0x08 && frame[13] == 0x00:
		return frame[ethLen+9] == unix.IPPROTO_UDP && binary.BigEndian.Uint16(frame[ethLen+22:]) == 7777
	}
	return frame[12] == 0x86 && frame[13] == 0xdd && len(frame) >= ethLen+48 &&
		frame[ethLen+6] == unix.IPPROTO_UDP && binary.BigEndian.Uint16(frame[ethLen+42:]) == 7777
}

// path is the way of a packet from one host through the router to another.
type path struct {
	from, to    *wire
	in, out     [6]byte // the router's
	source, end [6]byte // the hosts'
	src         [7]netip.Addr
	dev         string // of the router, that packets come in by
}

// path opens the way from h1 to host hN.
func (n *network) path(to int) *path {
	n.Helper()
	host := fmt.Sprintf("h%d", to)
	p := &path{
		from: n.wire("h1", "eth0"), to: n.wire(host, "eth0"), in: n.mac("r1", "to-h1"), out: n.mac("r1", "to-"+host),
		source: n.mac("h1", "eth0"), end: n.mac(host, "eth0"), dev: "to-h1",
	}
	p.src[4], p.src[6] = hostAddr(1, 4), hostAddr(1, 6)
	return p
}

// packet makes a packet of h1, as it sends it.
func (p *path) packet(dst string) datagram {
	d := datagram{from: p.source, to: p.in, dst: netip.MustParseAddr(dst)}
	d.src = p.src[4]
	if d.dst.Is6() {
		d.src = p.src[6]
	}
	return d
}

// crosses asserts that a packet is forwarded by XDP as RFC 1812 says: the next
// MACs, a TTL less, the checksum right, all other bytes as they were.
func (p *path) crosses(d datagram) {
	p.from.Helper()
	p.from.wantCounted(p.dev, "forwarded", 1, func() { p.arrives(d) })
}

// arrives asserts the same, by whatever way.
func (p *path) arrives(d datagram) {
	p.from.Helper()
	p.from.send(d.bytes())
	p.wantArrived(d)
}

func (p *path) wantArrived(d datagram) {
	p.from.Helper()
	got := p.to.receive(patience, isUDP)
	want := d
	want.from, want.to = p.out, p.end
	if want.ttl == 0 {
		want.ttl = 64
	}
	want.ttl--
	if !bytes.Equal(got, want.bytes()) {
		p.from.Fatalf("packet to %s: got\n% x, want\n% x", d.dst, got, want.bytes())
	}
}

// isLost asserts that a packet arrives nowhere at the end of the path.
func (p *path) isLost(d datagram) {
	p.from.Helper()
	p.from.send(d.bytes())
	if got := p.to.receive(quiet, isUDP); got != nil {
		p.from.Fatalf("packet to %s has arrived: % x", d.dst, got)
	}
}

// resolve makes the router know the neighbors of a path, and waits until weft
// forwards to them.
func (n *network) resolve() {
	n.Helper()
	for i := 1; i <= 3; i++ {
		for _, family := range []int{4, 6} {
			n.command("r1", "ping", "-q", "-c", "1", "-W", "5", hostAddr(i, family).String())
		}
	}
	for i := 2; i <= 3; i++ {
		for _, family := range []int{4, 6} {
			n.wantForward(hostAddr(i, family).String(), fmt.Sprintf("to-h%d", i), "")
		}
	}
}

// promiscuous takes also what is for other MACs.
func (w *wire) promiscuous() {
	w.Helper()
	sa, err := unix.Getsockname(w.fd)
	if at, ok := sa.(*unix.SockaddrLinklayer); ok {
		err = unix.SetsockoptPacketMreq(w.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(at.Ifindex), Type: unix.PACKET_MR_PROMISC})
	}
	if err != nil {
		w.Fatal(err)
	}
}
