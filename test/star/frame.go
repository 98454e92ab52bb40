package star

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"weft/test/traffic"

	"golang.org/x/sys/unix"
)

const EthLen = 14

// Datagram is a UDP packet as it lies on the wire. The zero value of what is not
// given is filled in.
type Datagram struct {
	From, To   [6]byte
	Src, Dst   netip.Addr
	Ttl        uint8  // 0: 64
	Sport      uint16 // 0: 40000
	Payload    int    // bytes; 0: 32
	Fragmented bool   // IPv4: may be
}

func (d Datagram) Bytes() []byte {
	if d.Ttl == 0 {
		d.Ttl = 64
	}
	if d.Sport == 0 {
		d.Sport = 40000
	}
	if d.Payload == 0 {
		d.Payload = 32
	}
	udp := make([]byte, 8+d.Payload)
	binary.BigEndian.PutUint16(udp, d.Sport)
	binary.BigEndian.PutUint16(udp[2:], 7777)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	for i := range d.Payload {
		udp[8+i] = byte(i * 7)
	}
	pseudo := binary.BigEndian.AppendUint32(append(d.Src.AsSlice(), d.Dst.AsSlice()...), uint32(len(udp)))
	binary.BigEndian.PutUint16(udp[6:], traffic.Checksum(append(pseudo, 0, 0, 0, unix.IPPROTO_UDP), udp))
	frame := append(append([]byte{}, d.To[:]...), d.From[:]...)
	if d.Src.Is6() {
		frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0)
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(udp)))
		frame = append(frame, unix.IPPROTO_UDP, d.Ttl)
		return append(append(append(frame, d.Src.AsSlice()...), d.Dst.AsSlice()...), udp...)
	}
	ip := []byte{0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, d.Ttl, unix.IPPROTO_UDP, 0, 0}
	if d.Fragmented {
		ip[6] = 0
	}
	ip = append(append(ip, d.Src.AsSlice()...), d.Dst.AsSlice()...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(udp)))
	binary.BigEndian.PutUint16(ip[10:], traffic.Checksum(ip))
	return append(append(append(frame, 0x08, 0x00), ip...), udp...)
}

// Wire is an open AF_PACKET socket on an interface of a host.
type Wire struct {
	*Network
	Fd int
}

func (n *Network) Wire(node, name string) *Wire {
	n.Helper()
	w := &Wire{Network: n}
	ifindex := n.Link(node, name).Attrs().Index
	err := n.Lab.In(node, func() (err error) {
		all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
		if w.Fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all)); err != nil {
			return err
		}
		return unix.Bind(w.Fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex})
	})
	if err != nil {
		n.Fatalf("open AF_PACKET at %s of %s: %v", name, node, err)
	}
	n.Cleanup(func() { unix.Close(w.Fd) })
	return w
}

func (w *Wire) Send(frame []byte) {
	w.Helper()
	if _, err := unix.Write(w.Fd, frame); err != nil {
		w.Fatalf("send frame of %d bytes: %v", len(frame), err)
	}
}

// Receive returns the next frame that came in and is as wanted, or nil if there
// is none for a time.
func (w *Wire) Receive(patience time.Duration, is func(frame []byte) bool) []byte {
	w.Helper()
	buf := make([]byte, 65536)
	for deadline := time.Now().Add(patience); ; {
		size, from, err := unix.Recvfrom(w.Fd, buf, 0)
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

// Patience is for what must come, Quiet for what must not.
const (
	Patience = 5 * time.Second
	Quiet    = 100 * time.Millisecond
)

// IsUDP recognizes the datagrams of datagram, forwarded or not.
func IsUDP(frame []byte) bool {
	switch {
	case len(frame) < EthLen+28:
		return false
	case frame[12] == 0x08 && frame[13] == 0x00:
		return frame[EthLen+9] == unix.IPPROTO_UDP && binary.BigEndian.Uint16(frame[EthLen+22:]) == 7777
	}
	return frame[12] == 0x86 && frame[13] == 0xdd && len(frame) >= EthLen+48 &&
		frame[EthLen+6] == unix.IPPROTO_UDP && binary.BigEndian.Uint16(frame[EthLen+42:]) == 7777
}

// Path is the way of a packet from one host through the router to another.
type Path struct {
	From, To    *Wire
	In, Out     [6]byte // the router's
	Source, End [6]byte // the hosts'
	Src         [7]netip.Addr
	Dev         string // of the router, that packets come in by
}

// Path opens the way from h1 to host hN.
func (n *Network) Path(to int) *Path {
	n.Helper()
	host := fmt.Sprintf("h%d", to)
	p := &Path{
		From: n.Wire("h1", "eth0"), To: n.Wire(host, "eth0"), In: n.MAC("r1", "to-h1"), Out: n.MAC("r1", "to-"+host),
		Source: n.MAC("h1", "eth0"), End: n.MAC(host, "eth0"), Dev: "to-h1",
	}
	p.Src[4], p.Src[6] = HostAddr(1, 4), HostAddr(1, 6)
	return p
}

// Packet makes a packet of h1, as it sends it.
func (p *Path) Packet(dst string) Datagram {
	d := Datagram{From: p.Source, To: p.In, Dst: netip.MustParseAddr(dst)}
	d.Src = p.Src[4]
	if d.Dst.Is6() {
		d.Src = p.Src[6]
	}
	return d
}

// Crosses asserts that a packet is forwarded by XDP as RFC 1812 says: the next
// MACs, a TTL less, the checksum right, all other bytes as they were.
func (p *Path) Crosses(d Datagram) {
	p.From.Helper()
	p.From.WantCounted(p.Dev, "forwarded", 1, func() { p.Arrives(d) })
}

// Arrives asserts the same, by whatever way.
func (p *Path) Arrives(d Datagram) {
	p.From.Helper()
	p.From.Send(d.Bytes())
	p.WantArrived(d)
}

func (p *Path) WantArrived(d Datagram) {
	p.From.Helper()
	p.WantFrame(d, p.To.Receive(Patience, IsUDP))
}

// WantFrame asserts that what has come to the end of the path is a packet as it is to
// arrive.
func (p *Path) WantFrame(d Datagram, got []byte) {
	p.From.Helper()
	want := d
	want.From, want.To = p.Out, p.End
	if want.Ttl == 0 {
		want.Ttl = 64
	}
	want.Ttl--
	if !bytes.Equal(got, want.Bytes()) {
		p.From.Fatalf("packet to %s: got\n% x, want\n% x", d.Dst, got, want.Bytes())
	}
}

// IsLost asserts that a packet arrives nowhere at the end of the path.
func (p *Path) IsLost(d Datagram) {
	p.From.Helper()
	p.From.Send(d.Bytes())
	if got := p.To.Receive(Quiet, IsUDP); got != nil {
		p.From.Fatalf("packet to %s has arrived: % x", d.Dst, got)
	}
}

// Resolve makes the router know the neighbors of a path, and waits until weft
// forwards to them.
func (n *Network) Resolve() {
	n.Helper()
	for i := 1; i <= 3; i++ {
		for _, family := range []int{4, 6} {
			host := HostAddr(i, family).String()
			n.Until(host+" answers", func() bool {
				_, err := n.Lab.Output("r1", "ping", "-q", "-c", "1", "-W", "1", host)
				return err == nil
			})
		}
	}
	for i := 2; i <= 3; i++ {
		for _, family := range []int{4, 6} {
			n.WantForward(HostAddr(i, family).String(), fmt.Sprintf("to-h%d", i), "")
		}
	}
}

// Promiscuous takes also what is for other MACs.
func (w *Wire) Promiscuous() {
	w.Helper()
	sa, err := unix.Getsockname(w.Fd)
	if at, ok := sa.(*unix.SockaddrLinklayer); ok {
		err = unix.SetsockoptPacketMreq(w.Fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(at.Ifindex), Type: unix.PACKET_MR_PROMISC})
	}
	if err != nil {
		w.Fatal(err)
	}
}
