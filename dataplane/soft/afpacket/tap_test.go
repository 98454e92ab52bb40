package afpacket_test

import (
	"bytes"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/soft/afpacket"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/steertest"
	"weft/dataplane/soft/internal/vethtest"
)

// arp is a request of 10.0.0.5 for 10.0.0.1, which the router's kernel answers (RFC 826).
func arp() []byte {
	f := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, steertest.HostMAC[:]...)
	f = append(append(f, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1), steertest.HostMAC[:]...)
	f = append(f, netip.MustParseAddr("10.0.0.5").AsSlice()...)
	return append(append(f, 0, 0, 0, 0, 0, 0), netip.MustParseAddr("10.0.0.1").AsSlice()...)
}

// TestTap has a kernel beside the loop, which has all packets, too: it forwards those that the loop does not get, and no
// others.
func TestTap(t *testing.T) {
	p := newPort(t, 64, afpacket.Options{})
	two, peer := vethtest.Pair(t, "two", 1)
	vethtest.SetMAC(t, p.here.Name, steertest.OurMAC)
	vethtest.Address(t, p.here.Name, "10.0.0.1/16", "10.0.0.5", steertest.HostMAC)
	vethtest.Address(t, two.Name, "10.1.0.1/16", "10.1.0.5", steertest.HostMAC)
	for _, name := range []string{p.here.Name, p.there.Name, two.Name, peer.Name} {
		vethtest.SetMTU(t, name, 3000)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	s := steertest.New(t, p.here.Index, two.Index, 0)
	prog, err := bpf.LoadTap(steertest.NewFIB(t, false), s.State, afpacket.PacketMax(p.mem), bpf.Features{VLANs: true})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	l, err := link.AttachTCX(link.TCXOptions{Interface: p.here.Index, Program: prog, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other := vethtest.NewWire(t, peer.Index)
	forwarded := func(pk steertest.Packet) {
		t.Helper()
		pk.TTL--
		if got, want := other.Next(), pk.Bytes(); !bytes.Equal(got[14:], want[14:]) {
			t.Errorf("the kernel has forwarded\n% x, want\n% x", got[14:], want[14:])
		}
	}
	// The kernel has had all that came before what it answers.
	answered := func() {
		t.Helper()
		p.Send(arp())
		if got := p.Next(); got[12] != 0x08 || got[13] != 0x06 || got[21] != 2 {
			t.Errorf("ARP request answered by % x", got)
		}
		p.want(t, arp())
	}
	transit := steertest.Packet{Src: "10.0.0.5", Dst: "10.1.0.5", TTL: 9}
	tagged := transit
	tagged.Tags = []uint16{steertest.VLANID}
	long := transit
	exact := len(transit.Bytes())
	long.Payload = afpacket.PacketMax(p.mem) - exact
	for _, one := range []steertest.Packet{transit, tagged, long} {
		p.Send(one.Bytes())
		p.want(t, one.Bytes())
	}
	answered()
	other.Quiet()
	long.Payload++
	p.Send(long.Bytes())
	forwarded(long)
	answered() // and so the loop did not get that
	got := s.Counters(steertest.PortOne)
	vlan := s.Counters(steertest.PortVLAN)
	got[dataplane.LoopOverrun].Add(vlan[dataplane.LoopOverrun])
	for reason, n := range map[dataplane.Reason]uint64{dataplane.ARP: 2, dataplane.LoopOverrun: 3, dataplane.LoopFrameTooLong: 1} {
		if got[reason].Packets != n {
			t.Errorf("%d packets counted for %s, want %d", got[reason].Packets, reason, n)
		}
	}
	if err := l.Close(); err != nil { // as when the process ends
		t.Fatal(err)
	}
	p.Send(transit.Bytes())
	forwarded(transit)
}

// TestSegments asserts that packets that are several in one are left to the kernel, however short.
func TestSegments(t *testing.T) {
	p := newPort(t, 64, afpacket.Options{})
	f := steertest.Packet{Src: "10.0.0.5", Dst: "10.1.0.5", Payload: 200}.Bytes()
	header := []byte{1, 3 /* VIRTIO_NET_HDR_GSO_UDP */ + 2 /* _L4 */, 42, 0, 50, 0, 34, 0, 6, 0}
	p.sendWithHeader(t, header, f)
	p.Send(vethtest.Frame(1, 60))
	p.want(t, vethtest.Frame(1, 60))
	if n := p.Receive(make([]device.Descriptor, 1)); n != 0 {
		t.Error("the loop has got segments in one packet")
	}
}

// sendWithHeader sends a frame as a host does that leaves work to hardware: with a struct virtio_net_hdr.
func (p *port) sendWithHeader(t testing.TB, header, frame []byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: p.there.Index})
	}
	if err == nil {
		_, err = unix.Write(fd, append(header, frame...))
	}
	if err != nil {
		t.Fatal(err)
	}
}
