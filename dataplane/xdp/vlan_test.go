package xdp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/dataplane/xdp"
)

// VLANs of the table's router, on portIn but for the last.
const (
	vlanC   = 5 // 802.1Q 100, as portIn otherwise
	vlanS   = 6 // 802.1ad 5, a MAC of its own
	vlanSC  = 7 // 802.1Q 100 on vlanS, VRF 7
	vlanOff = 8 // 802.1Q 101, forwards nothing
	vlanOut = 9 // 802.1Q 200 on portOut
)

var serviceMAC = dataplane.MAC{0x02, 0, 0, 0, 0, 0x55}

// addVLANs makes the VLANs ports. Interfaces of another kind stand for theirs:
// the engine asks the kernel only whether they are there.
func (r *router) addVLANs(t testing.TB) {
	t.Helper()
	for _, v := range []dataplane.Port{
		{Number: vlanC, Parent: portIn, TPID: unix.ETH_P_8021Q, VLAN: 100, MAC: ourMAC, IPv4: true, IPv6: true},
		{Number: vlanS, Parent: portIn, TPID: unix.ETH_P_8021AD, VLAN: 5, MAC: serviceMAC, IPv4: true, IPv6: true},
		{Number: vlanSC, Parent: vlanS, TPID: unix.ETH_P_8021Q, VLAN: 100, MAC: ourMAC, VRF: 7, IPv4: true, IPv6: true},
		{Number: vlanOff, Parent: portIn, TPID: unix.ETH_P_8021Q, VLAN: 101, MAC: ourMAC},
		{Number: vlanOut, Parent: portOut, TPID: unix.ETH_P_8021Q, VLAN: 200, MAC: outMAC, IPv4: true, IPv6: true},
	} {
		v.Name = "vlan" + string(rune('0'+v.Number))
		v.Ifindex, _ = veth(t, v.Name, v.Name+"-peer")
		if err := r.SetPort(v); err != nil {
			t.Fatal(err)
		}
	}
	out := r.add(t, adjacency(vlanOut, 1500, tag(0x8100, 200)))
	r.route(t, 0, via(out), "10.20.0.0/16", "2001:db8:14::/48")
	r.route(t, 7, via(out), "10.20.0.0/16", "2001:db8:14::/48")
	twice := r.add(t, adjacency(vlanOut, 1500, tag(0x88a8, 6), tag(0x8100, 200)))
	r.route(t, 0, via(twice), "10.21.0.0/16", "2001:db8:15::/48")
	r.route(t, 7, via(twice), "10.21.0.0/16", "2001:db8:15::/48")
}

// withTags puts tags into a frame.
func withTags(in []byte, tags ...uint32) []byte {
	b := append([]byte{}, in[:12]...)
	for _, tag := range tags {
		b = binary.BigEndian.AppendUint32(b, tag)
	}
	return append(b, in[12:]...)
}

func vlanRouter(t testing.TB, o xdp.Options) *router {
	t.Helper()
	r := newRouter(t, o)
	fillTable(t, r)
	r.addVLANs(t)
	return r
}

// check runs a frame and compares all that comes out.
func (r *router) check(t testing.TB, p packet, by uint32) {
	t.Helper()
	got, err := r.Run(p.in, by)
	if err != nil {
		t.Errorf("%s: %v", p.name, err)
		return
	}
	if p.out == nil {
		p.out = p.in
	}
	if got.Reason != p.reason || got.Ingress != p.ingress || got.Egress != p.egress {
		t.Errorf("%s: %s, ingress %d, egress %d; want %s, %d, %d", p.name, got.Reason, got.Ingress, got.Egress, p.reason, p.ingress, p.egress)
	}
	if !bytes.Equal(got.Packet, p.out) {
		t.Errorf("%s: packet\n%x, want\n%x", p.name, got.Packet, p.out)
	}
}

// TestVLANPackets has frames with tags.
func TestVLANPackets(t *testing.T) {
	r := vlanRouter(t, xdp.Options{Ports: 16})
	c, s := tag(0x8100, 100), tag(0x88a8, 5)
	for _, ip := range []struct {
		family, plain, tagged, twice, unresolved, vrf string
		make                                          func(dst string, mac dataplane.MAC) []byte
	}{
		{"ipv4", "10.0.0.1", "10.20.0.1", "10.21.0.1", "10.2.0.1", "10.7.0.1", func(dst string, mac dataplane.MAC) []byte {
			return to(mac, ethIPv4, ipv4(host4, dst, 64))
		}},
		{"ipv6", "2001:db8::1", "2001:db8:14::1", "2001:db8:15::1", "2001:db8:2::1", "2001:db8:7::1", func(dst string, mac dataplane.MAC) []byte {
			return to(mac, ethIPv6, ipv6(host6, dst, 64))
		}},
	} {
		plain, out, twice := ip.make(ip.plain, ourMAC), ip.make(ip.tagged, ourMAC), ip.make(ip.twice, ourMAC)
		unresolved, vrf, service := ip.make(ip.unresolved, ourMAC), ip.make(ip.vrf, ourMAC), ip.make(ip.plain, serviceMAC)
		for _, p := range []packet{
			{"tag to none", vlanC, withTags(plain, c), dataplane.Forwarded, forwarded(plain), portOut},
			{"tag to tag", vlanC, withTags(out, c), dataplane.Forwarded, forwarded(out, tag(0x8100, 200)), vlanOut},
			{"tag to two", vlanC, withTags(twice, c), dataplane.Forwarded, forwarded(twice, tag(0x88a8, 6), tag(0x8100, 200)), vlanOut},
			{"none to tag", portIn, out, dataplane.Forwarded, forwarded(out, tag(0x8100, 200)), vlanOut},
			{"802.1ad tag to none", vlanS, withTags(service, s), dataplane.Forwarded, forwarded(service), portOut},
			{"two to none", vlanSC, withTags(vrf, s, c), dataplane.Forwarded, forwarded(vrf), portOut},
			{"two to tag", vlanSC, withTags(out, s, c), dataplane.Forwarded, forwarded(out, tag(0x8100, 200)), vlanOut},
			{"two to two", vlanSC, withTags(twice, s, c), dataplane.Forwarded, forwarded(twice, tag(0x88a8, 6), tag(0x8100, 200)), vlanOut},
			{"priority and DEI", vlanC, withTags(plain, c|0xf000), dataplane.Forwarded, forwarded(plain), portOut},
			{"priority tag", portIn, withTags(plain, tag(0x8100, 0xe000)), dataplane.Forwarded, forwarded(plain), portOut},
			{"802.1ad priority tag", portIn, withTags(plain, tag(0x88a8, 0)), dataplane.Forwarded, forwarded(plain), portOut},
			{"priority tag before a tag", vlanC, withTags(plain, tag(0x8100, 0xe000), c), dataplane.Forwarded, forwarded(plain), portOut},
			{"priority tag behind a tag", vlanC, withTags(plain, c, tag(0x8100, 0)), dataplane.Forwarded, forwarded(plain), portOut},
			{"padding goes", vlanC, pad(withTags(plain, c), 30), dataplane.Forwarded, forwarded(plain), portOut},
			{"padding goes, two", vlanSC, pad(withTags(vrf, s, c), 30), dataplane.Forwarded, forwarded(vrf), portOut},

			{"unresolved", vlanC, withTags(unresolved, c|0xe000), dataplane.UnresolvedNeigh, nil, 0},
			{"vrf without the route", vlanSC, withTags(plain, s, c), map[string]dataplane.Reason{"ipv4": dataplane.IPv4LPMMiss, "ipv6": dataplane.IPv6LPMMiss}[ip.family], nil, 0},
			{"unknown", portIn, withTags(plain, tag(0x8100, 99)), dataplane.VLANUnknown, nil, 0},
			{"4095", portIn, withTags(plain, tag(0x8100, 4095)), dataplane.VLANUnknown, nil, 0},
			{"802.1ad instead of 802.1Q", portIn, withTags(plain, tag(0x88a8, 100)), dataplane.VLANUnknown, nil, 0},
			{"802.1Q instead of 802.1ad", portIn, withTags(plain, tag(0x8100, 5)), dataplane.VLANUnknown, nil, 0},
			{"0x9100", portIn, withTags(plain, tag(0x9100, 100)), dataplane.NonIP, nil, 0},
			{"unknown behind a known", vlanS, withTags(service, s, tag(0x8100, 99)), dataplane.VLANUnknown, nil, 0},
			{"802.1ad behind 802.1ad", vlanS, withTags(service, s, tag(0x88a8, 100)), dataplane.VLANUnknown, nil, 0},
			{"known behind an unknown", portIn, withTags(plain, tag(0x88a8, 9), c), dataplane.VLANUnknown, nil, 0},
			{"three", vlanSC, withTags(plain, s, c, c), dataplane.VLANUnknown, nil, 0},
			{"inner without outer", vlanC, withTags(vrf, c), dataplane.LocalRoute, nil, 0},
			{"to another MAC", vlanC, withTags(ip.make(ip.plain, otherMAC), c), dataplane.NotOurMAC, nil, 0},
			{"unknown to another MAC", portIn, withTags(ip.make(ip.plain, otherMAC), tag(0x8100, 99)), dataplane.NotOurMAC, nil, 0},
			{"to the MAC of the port below", vlanS, withTags(plain, s), dataplane.NotOurMAC, nil, 0},
			{"port that does not forward", vlanOff, withTags(plain, tag(0x8100, 101)), dataplane.IrifDisabled, nil, 0},
			{"cut behind the tag", vlanC, withTags(plain, c)[:18], dataplane.IPLengthWrong, plain[:14], 0},
			{"to another MAC, cut behind the tag", vlanC, withTags(ip.make(ip.plain, otherMAC), c)[:18], dataplane.NotOurMAC, nil, 0},
			{"to another MAC, cut behind two", vlanSC, withTags(ip.make(ip.plain, otherMAC), s, c)[:22], dataplane.NotOurMAC, nil, 0},
			{"cut in the header", vlanC, withTags(plain, c)[:30], dataplane.IPLengthWrong, plain[:26], 0},
			{"cut in the type", portIn, withTags(plain, c)[:17], dataplane.VLANUnknown, nil, 0},
			{"cut in the second type", portIn, withTags(plain, s, c)[:17], dataplane.VLANUnknown, nil, 0},
		} {
			p.name = ip.family + "/" + p.name
			r.check(t, p, portIn)
		}
	}
	arp := to(broadcastMAC, unix.ETH_P_ARP, make([]byte, 28))
	r.check(t, packet{"arp", vlanC, withTags(arp, c), dataplane.ARP, nil, 0}, portIn)
	small := pad(cut(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, sized(24))), 38), 18)
	r.check(t, packet{"shortest frame", vlanC, withTags(small, c), dataplane.Forwarded, forwarded(small), portOut}, portIn)
	if len(withTags(small, c)) != 60 {
		t.Errorf("the shortest frame has %d bytes", len(withTags(small, c)))
	}
	back := pad(cut(toUs(ethIPv4, ipv4(host4, "10.20.0.1", 64, sized(24))), 38), 22)
	r.check(t, packet{"shortest frame to tag", portIn, back, dataplane.Forwarded, forwarded(back, tag(0x8100, 200)), vlanOut}, portIn)
	r.check(t, packet{"by no port", 0, withTags(arp, c), dataplane.PortUnknown, nil, 0}, 0)
}

// TestVLANTable has the table's packets in a VLAN that is as the port: the same
// becomes of them. Those without a tag do not notice that there are VLANs.
func TestVLANTable(t *testing.T) {
	r := vlanRouter(t, xdp.Options{Ports: 16})
	seen := 0
	for _, p := range packets() {
		r.check(t, p, p.ingress)
		if p.ingress != portIn || p.reason == dataplane.VLANUnknown {
			continue
		}
		if p.out == nil && p.reason.Verdict() == dataplane.Drop {
			p.out = p.in // it is not given its tag back
		}
		if p.out != nil && p.reason.Verdict() == dataplane.Punt {
			p.out = withTags(p.out, tag(0x8100, 100))
		}
		p.in, p.ingress, p.name = withTags(p.in, tag(0x8100, 100)), vlanC, "in a VLAN: "+p.name
		r.check(t, p, portIn)
		seen++
	}
	if seen < 100 {
		t.Errorf("saw %d packets", seen)
	}
}

// TestVLANChunked loads the program for VLANs on an image as older kernels have it.
func TestVLANChunked(t *testing.T) {
	r := newChunkedRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	r.addVLANs(t)
	plain := toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64))
	r.check(t, packet{"tag to none", vlanC, withTags(plain, tag(0x8100, 100)), dataplane.Forwarded, forwarded(plain), portOut}, portIn)
}

// receiveTagged returns the next frame to nextMAC, with the tag that the kernel
// has taken off.
func receiveTagged(t testing.TB, fd int) []byte {
	t.Helper()
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		t.Fatal(err)
	}
	b, oob := make([]byte, 2048), make([]byte, 256)
	for {
		n, on, _, _, err := unix.Recvmsg(fd, b, oob, 0)
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		if n < 14 || !bytes.Equal(b[:6], nextMAC[:]) {
			continue
		}
		messages, err := unix.ParseSocketControlMessage(oob[:on])
		if err != nil || len(messages) != 1 {
			t.Fatalf("control messages %v, %v", messages, err)
		}
		// struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
		aux := messages[0].Data
		if binary.NativeEndian.Uint32(aux)&unix.TP_STATUS_VLAN_VALID == 0 {
			return b[:n]
		}
		tci, tpid := binary.NativeEndian.Uint16(aux[16:]), binary.NativeEndian.Uint16(aux[18:])
		return withTags(b[:n], uint32(tpid)<<16|uint32(tci))
	}
}

// TestVLANWire sends frames with tags over veth.
func TestVLANWire(t *testing.T) {
	r := vlanRouter(t, xdp.Options{Ports: 16})
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	c, s, o := tag(0x8100, 100), tag(0x88a8, 5), tag(0x8100, 200)
	var want [10]dataplane.Counters
	exchange := func(ingress uint32, in, out []byte) {
		t.Helper()
		send(t, tx, in)
		n := &want[ingress][dataplane.Forwarded]
		n.Packets++
		n.Bytes += uint64(len(in))
		if got := receiveTagged(t, rx); !bytes.Equal(got, out) {
			t.Fatalf("frame\n%x, want\n%x", got, out)
		}
	}
	for n := range 100 {
		for _, in := range [][]byte{
			toUs(ethIPv4, ipv4(host4, "10.20.0.1", 64, at16(4, n))), toUs(ethIPv6, ipv6(host6, "2001:db8:14::1", 64, at(3, byte(n)))),
		} {
			exchange(portIn, in, forwarded(in, o))
			exchange(vlanC, withTags(in, c), forwarded(in, o))
			exchange(vlanSC, withTags(in, s, c), forwarded(in, o))
		}
		for _, in := range [][]byte{
			toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, at16(4, n))), toUs(ethIPv6, ipv6(host6, "2001:db8::1", 64, at(3, byte(n)))),
		} {
			exchange(vlanC, withTags(in, c), forwarded(in))
		}
		in := toUs(ethIPv4, ipv4(host4, "10.21.0.1", 64, at16(4, n)))
		exchange(vlanSC, withTags(in, s, c), forwarded(in, tag(0x88a8, 6), o))
	}
	punt := withTags(numbered(0, 4), tag(0x8100, 99))
	send(t, tx, punt)
	want[portIn][dataplane.VLANUnknown] = dataplane.Counter{Packets: 1, Bytes: uint64(len(punt))}
	for _, n := range []uint32{portIn, vlanC, vlanSC, vlanS} {
		if c := settle(r.Engine, n, want[n].Received().Packets); c != want[n] {
			t.Errorf("counters of port %d%s, want%s", n, nonzero(c), nonzero(want[n]))
		}
	}
}

// TestVLANPorts adds, changes and removes VLANs, and looks at the program.
func TestVLANPorts(t *testing.T) {
	r := vlanRouter(t, xdp.Options{Ports: 16, Trunks: 3})
	free, _ := veth(t, "free", "free-peer")
	v := dataplane.Port{Number: 10, Ifindex: free, Parent: portIn, VLAN: 7, TPID: unix.ETH_P_8021Q, MAC: ourMAC}
	set := func(change func(*dataplane.Port)) dataplane.Port {
		p := v
		change(&p)
		return p
	}
	for _, c := range []struct {
		name string
		p    dataplane.Port
		says string
	}{
		{"no parent", set(func(p *dataplane.Port) { p.Parent = 0 }), "VLAN 7 of no port"},
		{"parent is no port", set(func(p *dataplane.Port) { p.Parent = 12 }), "port 12, which is none"},
		{"parent is itself", set(func(p *dataplane.Port) { p.Parent = 10 }), "port 10, which is none"},
		{"three tags", set(func(p *dataplane.Port) { p.Parent = vlanSC }), "more than 2 tags"},
		{"identifier 0", set(func(p *dataplane.Port) { p.VLAN = 0 }), "VLAN 0, want"},
		{"identifier 4095", set(func(p *dataplane.Port) { p.VLAN = 4095 }), "VLAN 4095, want"},
		{"protocol", set(func(p *dataplane.Port) { p.TPID = 0x9100 }), "0x9100"},
		{"taken", set(func(p *dataplane.Port) { p.VLAN = 100 }), "VLAN 100 of port 1 is port 5"},
		{"taken by the other protocol", set(func(p *dataplane.Port) { p.VLAN, p.TPID = 100, unix.ETH_P_8021AD }), "is port 5"},
		{"other VLAN", set(func(p *dataplane.Port) { p.Number, p.Ifindex = vlanC, r.Ports()[vlanC-1].Ifindex }), "remove it first"},
		{"no table left", set(func(p *dataplane.Port) { p.Parent = portOff }), "3 ports have VLANs already"},
	} {
		before := r.Ports()
		if err := r.SetPort(c.p); !errors.Is(err, xdp.ErrPort) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		if len(r.Ports()) != len(before) {
			t.Errorf("%s: %d ports, want %d", c.name, len(r.Ports()), len(before))
		}
	}
	plain := toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64))
	in := packet{"", vlanC, withTags(plain, tag(0x8100, 100)), dataplane.Forwarded, forwarded(plain), portOut}
	r.check(t, in, portIn)
	off := r.Ports()[vlanC-1].Port
	off.IPv4 = false
	if err := r.SetPort(off); err != nil {
		t.Fatal(err)
	}
	r.check(t, packet{"off", vlanC, in.in, dataplane.IrifDisabled, nil, 0}, portIn)
	with := instructions(t, r)
	if err := r.RemovePort(vlanC); err != nil {
		t.Fatal(err)
	}
	r.check(t, packet{"removed", portIn, in.in, dataplane.VLANUnknown, nil, 0}, portIn)
	if err := r.RemovePort(portIn); err != nil { // and with it vlanS, vlanSC, vlanOff
		t.Fatal(err)
	}
	if n := len(r.Ports()); n != 4 {
		t.Errorf("%d ports are left, want 4: %v", n, r.Ports())
	}
	if err := r.SetPort(port(portIn, r.port[portIn], 0, true)); err != nil {
		t.Fatal(err)
	}
	r.check(t, packet{"parent removed", portIn, in.in, dataplane.VLANUnknown, nil, 0}, portIn)
	if err := r.RemovePort(vlanOut); err != nil {
		t.Fatal(err)
	}
	if without := instructions(t, r); without >= with {
		t.Errorf("%d instructions without VLANs, %d with", without, with)
	}
	runs(t, r.Engine)
	r.check(t, packet{"no VLANs any more", portIn, plain, dataplane.Forwarded, forwarded(plain), portOut}, portIn)
}

// instructions counts those of the program that runs.
func instructions(t testing.TB, r *router) int {
	t.Helper()
	info, err := r.Program().Info()
	if err != nil {
		t.Fatal(err)
	}
	ins, err := info.Instructions()
	if err != nil {
		t.Fatal(err)
	}
	return len(ins)
}

// TestVLANAdopt closes an engine with VLANs and opens it again, one of their
// interfaces being gone.
func TestVLANAdopt(t *testing.T) {
	dir := filepath.Join(pinRoot(t), "engine")
	r := vlanRouter(t, xdp.Options{Ports: 16, Dir: dir})
	plain := toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64))
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	want := r.Ports()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	send(t, tx, withTags(plain, tag(0x8100, 100))) // nobody is home
	if got := receive(t, rx); !bytes.Equal(got, forwarded(plain)) {
		t.Errorf("frame\n%x, want\n%x", got, forwarded(plain))
	}
	open := func() {
		t.Helper()
		e, im, err := xdp.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Stop(); im.Close() })
		r.Engine = e
	}
	open()
	for i, p := range r.Ports() {
		want[i].Name = p.Name // the kernel's
		if p != want[i] {
			t.Errorf("port %+v, want %+v", p, want[i])
		}
	}
	if c := r.Counters(vlanC); c[dataplane.Forwarded].Packets != 1 || c.Received().Packets != 1 {
		t.Errorf("counters%s, want forwarded=1", nonzero(c))
	}
	runs(t, r.Engine)
	service := to(serviceMAC, ethIPv4, ipv4(host4, "10.0.0.1", 64))
	inner := withTags(toUs(ethIPv4, ipv4(host4, "10.7.0.1", 64)), tag(0x88a8, 5), tag(0x8100, 100))
	r.check(t, packet{"802.1ad", vlanS, withTags(service, tag(0x88a8, 5)), dataplane.Forwarded, forwarded(service), portOut}, portIn)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := netlink.LinkByIndex(want[vlanS-1].Ifindex)
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err != nil {
		t.Fatal(err)
	}
	open()
	for _, p := range r.Ports() {
		if p.Number == vlanS || p.Number == vlanSC {
			t.Errorf("adopted %+v, which is gone, or stood on it", p)
		}
	}
	if len(r.Ports()) != len(want)-2 {
		t.Errorf("%d ports, want %d", len(r.Ports()), len(want)-2)
	}
	r.check(t, packet{"gone", portIn, inner, dataplane.VLANUnknown, nil, 0}, portIn)
	r.check(t, packet{"left", vlanC, withTags(plain, tag(0x8100, 100)), dataplane.Forwarded, forwarded(plain), portOut}, portIn)
}

// TestVLANEgress takes NAPI from the peer of a port with a VLAN.
func TestVLANEgress(t *testing.T) {
	r := vlanRouter(t, xdp.Options{Ports: 16})
	tx := socket(t, r.in[portIn])
	in := toUs(ethIPv4, ipv4(host4, "10.20.0.1", 64))
	r.check(t, packet{"before", portIn, in, dataplane.Forwarded, forwarded(in, tag(0x8100, 200)), vlanOut}, portIn)
	setGRO(t, "out-peer", false)
	send(t, tx, in)
	settle(r.Engine, portIn, 1)
	p := r.await(t, portOut, dataplane.KernelEgress)
	if v := r.Ports()[vlanOut-1]; p.EgressLost != 1 || v.EgressLost != 0 || v.Egress != dataplane.KernelEgress || v.EgressReason != p.EgressReason {
		t.Errorf("port %+v, its VLAN %+v: want one lost by the port, and both closed", p, v)
	}
	r.check(t, packet{"closed", portIn, in, dataplane.ErifDisabled, nil, 0}, portIn)
	setGRO(t, "out-peer", true)
	r.await(t, portOut, dataplane.NativeEgress)
	r.check(t, packet{"open", portIn, in, dataplane.Forwarded, forwarded(in, tag(0x8100, 200)), vlanOut}, portIn)
}
