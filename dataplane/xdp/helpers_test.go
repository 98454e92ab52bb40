package xdp_test

import (
	"encoding/binary"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/xdp"
	"weft/fib"
	"weft/test/root"
)

func requireRoot(t testing.TB) {
	t.Helper()
	root.Require(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
}

// enterNetns puts the test's thread into a new network namespace. The thread
// ends with the test, and the namespace with it.
func enterNetns(t testing.TB) {
	t.Helper()
	requireRoot(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// veth makes a pair, up, and returns the ifindexes of both ends.
func veth(t testing.TB, name, peer string) (int, int) {
	t.Helper()
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peer}
	if err := netlink.LinkAdd(v); err != nil {
		t.Fatal(err)
	}
	var index []int
	for _, n := range []string{name, peer} {
		// No addresses of its own: nothing but the test sends.
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+n+"/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
		l, err := netlink.LinkByName(n)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		index = append(index, l.Attrs().Index)
	}
	return index[0], index[1]
}

// setGRO switches generic receive offload, and so NAPI, of a veth: without, what
// is redirected into its other end is lost.
func setGRO(t testing.TB, name string, on bool) {
	t.Helper()
	setOffload(t, name, unix.ETHTOOL_SGRO, on)
}

// setTX switches whether a veth leaves checksums to hardware. As made, it does.
func setTX(t testing.TB, name string, on bool) {
	t.Helper()
	setOffload(t, name, unix.ETHTOOL_STXCSUM, on)
}

func setOffload(t testing.TB, name string, command uint32, on bool) {
	t.Helper()
	value := struct{ command, data uint32 }{command, 0}
	if on {
		value.data = 1
	}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:], name)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		t.Fatalf("set offload %#x of %s: %v", command, name, errno)
	}
}

var (
	ourMAC  = dataplane.MAC{0x02, 0, 0, 0, 0, 0x01}
	hostMAC = dataplane.MAC{0x02, 0, 0, 0, 0, 0xaa}
	outMAC  = dataplane.MAC{0x02, 0, 0, 0, 0, 0x02}
	nextMAC = dataplane.MAC{0x02, 0, 0, 0, 0, 0xbb}
)

// Ports of the table's router.
const (
	portIn  = 1 // both families, VRF 0
	portOut = 2
	portOff = 3 // forwards nothing
	portVRF = 4 // both families, VRF 7
)

// router is an engine with an image, in a namespace of its own.
type router struct {
	*xdp.Engine
	image *bpf.Image
	fib   *fib.Image
	in    [5]int // ifindexes of the ports' peers
	port  [5]int
}

func newImage(t testing.TB, size int) (*bpf.Image, *fib.Image) {
	t.Helper()
	mem, err := bpf.NewImage(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	im, err := fib.Create(mem.Mem(), fib.Options{HashSeed: 0x5eed})
	if err != nil {
		t.Fatal(err)
	}
	return mem, im
}

func port(number uint32, ifindex int, vrf int, on bool) dataplane.Port {
	return dataplane.Port{Number: number, Ifindex: ifindex, Name: "p", MAC: ourMAC, VRF: vrf, IPv4: on, IPv6: on}
}

func newRouter(t testing.TB, o xdp.Options) *router {
	t.Helper()
	requireRoot(t)
	mem, im := newImage(t, 1<<20)
	return newRouterOn(t, mem, im, o)
}

// newChunkedRouter is on an image as older kernels have it.
func newChunkedRouter(t testing.TB, o xdp.Options) *router {
	t.Helper()
	requireRoot(t)
	mem, err := bpf.NewChunkedImage(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	im, err := fib.Create(mem.Mem(), fib.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return newRouterOn(t, mem, im, o)
}

func newRouterOn(t testing.TB, mem *bpf.Image, im *fib.Image, o xdp.Options) *router {
	t.Helper()
	enterNetns(t)
	r := &router{image: mem, fib: im}
	var err error
	if r.Engine, err = xdp.New(r.image, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop() })
	for n, name := range []string{"", "in", "out", "off", "vrf"} {
		if n == 0 {
			continue
		}
		r.port[n], r.in[n] = veth(t, name, name+"-peer")
		setGRO(t, name+"-peer", true)
		vrf := 0
		if n == portVRF {
			vrf = 7
		}
		if err := r.SetPort(port(uint32(n), r.port[n], vrf, n != portOff)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// adjacency makes one through a port, with the given number of VLAN tags.
func adjacency(port uint32, mtu uint32, tags ...uint32) fib.Adjacency {
	a := fib.Adjacency{Port: port, MTU: mtu, Complete: true}
	h := append(append([]byte{}, nextMAC[:]...), outMAC[:]...)
	for _, tag := range tags {
		h = binary.BigEndian.AppendUint32(h, tag)
	}
	h = append(h, 0xff, 0xff) // the packet's own EtherType is what stays
	a.RewriteLen = uint8(copy(a.Rewrite[:], h))
	return a
}

func (r *router) add(t testing.TB, a fib.Adjacency) fib.AdjacencyID {
	t.Helper()
	id, err := r.fib.AddAdjacency(a)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// route makes a group and routes of VRF vrf that lead to it.
func (r *router) route(t testing.TB, vrf int, g fib.Group, prefixes ...string) fib.GroupID {
	t.Helper()
	id, err := r.fib.AddGroup(g)
	if err != nil {
		t.Fatal(err)
	}
	tab, err := r.fib.Table(vrf)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prefixes {
		if err := tab.Insert(netip.MustParsePrefix(p), id); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

func via(ids ...fib.AdjacencyID) fib.Group {
	g := fib.Group{Kind: fib.Forward}
	for _, id := range ids {
		g.Members = append(g.Members, fib.Member{Adjacency: id, Weight: 1})
	}
	return g
}

// frame is an Ethernet frame to be made from parts.
type frame struct {
	dst, src  dataplane.MAC
	etherType uint16
	payload   []byte
}

func (f frame) bytes() []byte {
	b := append(append([]byte{}, f.dst[:]...), f.src[:]...)
	return append(binary.BigEndian.AppendUint16(b, f.etherType), f.payload...)
}

// sum16 is the ones' complement sum of RFC 1071, by the book.
func sum16(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// setChecksum computes an IPv4 header's checksum.
func setChecksum(ip []byte) {
	hlen := int(ip[0]&15) * 4
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^sum16(ip[:hlen]))
}

var payload = []byte("\x30\x39\x00\x50the payload of a packet, untouched")

// ipv4 makes a packet; edit changes its header before the checksum is made.
func ipv4(src, dst string, ttl byte, edit ...func([]byte)) []byte {
	ip := make([]byte, 20, 128)
	ip[0], ip[1], ip[8], ip[9] = 0x45, 0xb8|1, ttl, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[4:], 0xbeef)
	copy(ip[12:], netip.MustParseAddr(src).AsSlice())
	copy(ip[16:], netip.MustParseAddr(dst).AsSlice())
	ip = append(ip, payload...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	for _, e := range edit {
		e(ip)
	}
	setChecksum(ip[:20])
	return ip
}

// ipv6 makes a packet.
func ipv6(src, dst string, hops byte, edit ...func([]byte)) []byte {
	ip := make([]byte, 40, 128)
	ip[0], ip[1], ip[2], ip[3] = 0x6b, 0x91, 0x23, 0x45
	ip[6], ip[7] = unix.IPPROTO_UDP, hops
	copy(ip[8:], netip.MustParseAddr(src).AsSlice())
	copy(ip[24:], netip.MustParseAddr(dst).AsSlice())
	ip = append(ip, payload...)
	binary.BigEndian.PutUint16(ip[4:], uint16(len(payload)))
	for _, e := range edit {
		e(ip)
	}
	return ip
}

// l4 returns an IP packet's protocol, the sum of its pseudo-header and what is behind
// the header (RFC 768, 9293; RFC 8200 8.1).
func l4(ip []byte) (protocol byte, pseudo uint16, data []byte) {
	if ip[0]>>4 == 4 {
		data = ip[20:]
		pseudo = sum16(append(binary.BigEndian.AppendUint16([]byte{0, ip[9]}, binary.BigEndian.Uint16(ip[2:])-20), ip[12:20]...))
		return ip[9], pseudo, data
	}
	pseudo = sum16(append([]byte{ip[4], ip[5], 0, ip[6]}, ip[8:40]...))
	return ip[6], pseudo, ip[40:]
}

// checksumAt is where a protocol has its checksum.
var checksumAt = map[byte]int{unix.IPPROTO_UDP: 6, unix.IPPROTO_TCP: 16}

// leftToHardware makes the L4 checksum what Linux leaves for hardware to go on with.
func leftToHardware(ip []byte) {
	protocol, pseudo, data := l4(ip)
	binary.BigEndian.PutUint16(data[checksumAt[protocol]:], pseudo)
}

// filledIn makes the L4 checksum right.
func filledIn(ip []byte) {
	protocol, _, data := l4(ip)
	leftToHardware(ip)
	binary.BigEndian.PutUint16(data[checksumAt[protocol]:], ^sum16(data))
}

// forwarded is what must come out for an IPv4 or IPv6 frame of one port: made
// anew, not changed like the program does it.
func forwarded(in []byte, tags ...uint32) []byte {
	out := append(append([]byte{}, nextMAC[:]...), outMAC[:]...)
	for _, tag := range tags {
		out = binary.BigEndian.AppendUint32(out, tag)
	}
	out = append(out, in[12:14]...)
	ip := append([]byte{}, in[14:]...)
	if ip[0]>>4 == 4 {
		ip[8]--
		setChecksum(ip)
	} else {
		ip[7]--
	}
	return append(out, ip...)
}

// length is what an IP packet's header says of it.
func length(ip []byte) int {
	if ip[0]>>4 == 4 {
		return int(binary.BigEndian.Uint16(ip[2:]))
	}
	return 40 + int(binary.BigEndian.Uint16(ip[4:]))
}
