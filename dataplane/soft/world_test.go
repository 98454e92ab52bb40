package soft

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
	"weft/fib"
)

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func mac(port, host byte) dataplane.MAC { return dataplane.MAC{2, 0, 0, port, 0, host} }

// world is a router with three ports and a VLAN (port 4, VLAN 100 on port 1), a host on
// each, and a Worker between wires in memory.
//
//	port 1  192.0.2.1/24      2001:db8:1::1/64
//	port 2  198.51.100.1/24   2001:db8:2::1/64   MTU 1400
//	port 3  203.0.113.1/24    2001:db8:3::1/64
type world struct {
	testing.TB
	im       *fib.Image
	table    fib.Table
	mem      *device.Memory
	pool     *device.Pool
	w        *Worker
	config   *Config
	wires    map[uint32]*device.Wire // far ends
	kernels  map[uint32]*device.Wire
	now      time.Duration
	neighbor map[uint32]fib.AdjacencyID // host 9 behind each port
}

const (
	worldFrames = 4*VectorSize - 64 // some of the memory are others'
	worldWire   = 4 * VectorSize
)

func newWorld(t testing.TB, grace fib.Grace, reader *fib.Reader) *world {
	t.Helper()
	im, err := fib.Create(make([]byte, 4<<20), fib.Options{HashSeed: 7, Grace: grace})
	if err != nil {
		t.Fatal(err)
	}
	x := &world{TB: t, im: im, wires: map[uint32]*device.Wire{}, kernels: map[uint32]*device.Wire{}, neighbor: map[uint32]fib.AdjacencyID{}}
	x.table, err = im.Table(0)
	x.must(err)
	x.mem, err = device.NewMemory(worldFrames, device.MinFrameSize)
	x.must(err)
	t.Cleanup(func() { x.must(x.mem.Close()) })
	x.pool, err = x.mem.NewPool(worldFrames)
	x.must(err)
	x.w = NewWorker(Options{Memory: x.mem, Pool: x.pool, Reader: reader, Now: func() time.Duration { return x.now }})
	x.config = &Config{Image: im, Limits: packet.DefaultLimits}
	for n := uint32(1); n <= 3; n++ {
		x.addPort(n)
	}
	x.config.Ports = append(x.config.Ports, Port{Port: dataplane.Port{
		Number: 4, Name: "p1.100", MAC: mac(4, 1), IPv4: true, IPv6: true, Parent: 1, VLAN: 100, TPID: packet.Type8021Q,
	}})
	x.must(x.w.Set(x.config))
	x.neighbor[4] = x.adjacency(fib.Adjacency{Port: 4, MTU: 1500, Complete: true, RewriteLen: 18, Rewrite: rewrite(4, 100)})
	x.routes()
	return x
}

func (x *world) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// rewrite is the header of frames to host 9 behind a port.
func rewrite(port byte, vlan uint16) (r [fib.MaxRewrite]byte) {
	to, from := mac(port, 9), mac(port, 1)
	h := append(append(r[:0], to[:]...), from[:]...)
	if vlan != 0 {
		h = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(h, packet.Type8021Q), vlan)
	}
	_ = binary.BigEndian.AppendUint16(h, packet.TypeIPv4)
	return r
}

func (x *world) addPort(n uint32) {
	b := byte(n)
	addresses := map[uint32][]string{
		1: {"192.0.2.1/24", "2001:db8:1::1/64"}, 2: {"198.51.100.1/24", "2001:db8:2::1/64"}, 3: {"203.0.113.1/24", "2001:db8:3::1/64"},
	}
	mtu := 1500
	if n == 2 {
		mtu = 1400
	}
	i := Interface{Port: n, MTU: mtu}
	for _, a := range addresses[n] {
		i.Addresses = append(i.Addresses, netip.MustParsePrefix(a))
	}
	x.config.Interfaces = append(x.config.Interfaces, i)
	x.config.Ports = append(x.config.Ports, Port{Port: dataplane.Port{Number: n, Name: "p", MAC: mac(b, 1), IPv4: true, IPv6: true}})
	queue, kernel := x.wire(n, x.wires), x.wire(n, x.kernels)
	x.must(x.w.Attach(n, queue, kernel))
	x.neighbor[n] = x.adjacency(fib.Adjacency{Port: n, MTU: uint32(mtu), Complete: true, RewriteLen: 14, Rewrite: rewrite(b, 0)})
}

// wire makes one, and keeps its far end.
func (x *world) wire(n uint32, far map[uint32]*device.Wire) device.Queue {
	host, port, err := device.NewWire(x.mem, [2]uint32{0, n}, [2]*device.Pool{x.pool, x.pool}, worldWire)
	x.must(err)
	far[n] = host
	return port
}

func (x *world) adjacency(a fib.Adjacency) fib.AdjacencyID {
	x.Helper()
	id, err := x.im.AddAdjacency(a)
	x.must(err)
	return id
}

func (x *world) group(g fib.Group) fib.GroupID {
	x.Helper()
	id, err := x.im.AddGroup(g)
	x.must(err)
	return id
}

func (x *world) to(ids ...fib.AdjacencyID) fib.GroupID {
	g := fib.Group{Kind: fib.Forward}
	for _, id := range ids {
		g.Members = append(g.Members, fib.Member{Adjacency: id, Weight: 1})
	}
	return x.group(g)
}

func (x *world) route(prefix string, g fib.GroupID) {
	x.Helper()
	x.must(x.table.Insert(mustPrefix(prefix), g))
	x.publish()
}

// publish tells the Worker that the FIB has changed, and lets it see that.
func (x *world) publish() {
	x.im.Publish()
	x.now += holdSoon
}

// routes: hosts 9 are neighbors; 10.n/16 and 2001:db8:n00::/48 are behind port n.
func (x *world) routes() {
	local, reject := x.group(fib.Group{Kind: fib.Local}), x.group(fib.Group{Kind: fib.Reject, Code: 13})
	for n, subnet := range map[uint32][4]string{
		1: {"192.0.2.", "2001:db8:1::", "10.1.0.0/16", "2001:db8:100::/48"},
		2: {"198.51.100.", "2001:db8:2::", "10.2.0.0/16", "2001:db8:200::/48"},
		3: {"203.0.113.", "2001:db8:3::", "10.3.0.0/16", "2001:db8:300::/48"},
	} {
		glean, host := x.group(fib.Group{Kind: fib.Glean, Port: n}), x.to(x.neighbor[n])
		x.route(subnet[0]+"0/24", glean)
		x.route(subnet[1]+"/64", glean)
		x.route(subnet[0]+"9/32", host)
		x.route(subnet[1]+"9/128", host)
		x.route(subnet[0]+"1/32", local)
		x.route(subnet[1]+"1/128", local)
		x.route(subnet[2], host)
		x.route(subnet[3], host)
	}
	x.route("10.4.0.0/16", x.to(x.neighbor[4]))
	x.route("10.5.0.0/16", x.to(x.neighbor[2], x.neighbor[3]))
	x.route("10.6.0.0/16", reject)
	x.route("10.7.0.0/16", x.group(fib.Group{Kind: fib.Blackhole}))
}

// frame makes one that comes in by a port from its host 9, with so many bytes of payload.
func frame(port byte, src, dst string, payload int) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	to, from := mac(port, 1), mac(port, 9)
	f := append(append([]byte{}, to[:]...), from[:]...)
	if s.Is6() {
		f = append(f, 0x86, 0xdd, 0x60, 0, 0, 0, byte(payload>>8), byte(payload), 17, 64)
		f = append(append(f, s.AsSlice()...), d.AsSlice()...)
	} else {
		n := payload + 20
		f = append(f, 8, 0, 0x45, 0, byte(n>>8), byte(n), 0x12, 0x34, 0, 0, 64, 17, 0, 0)
		f = append(append(f, s.AsSlice()...), d.AsSlice()...)
		binary.LittleEndian.PutUint16(f[24:], packet.Checksum(f[14:34]))
	}
	for i := range payload {
		f = append(f, byte(i))
	}
	return f
}

// setTTL changes TTL or hop limit of a frame, and its checksum.
func setTTL(f []byte, ttl byte) []byte {
	if f[14]>>4 == 6 {
		f[21] = ttl
		return f
	}
	f[22] = ttl
	f[24], f[25] = 0, 0
	binary.LittleEndian.PutUint16(f[24:], packet.Checksum(f[14:34]))
	return f
}

// forwarded is what a frame is that leaves by a port to its host 9.
func forwarded(f []byte, port byte) []byte {
	r := rewrite(port, 0)
	f = append(append([]byte{}, r[:12]...), f[12:]...)
	ttl := f[22]
	if f[14]>>4 == 6 {
		ttl = f[21]
	}
	return setTTL(f, ttl-1)
}

// send puts frames into a port's wire.
func (x *world) send(port uint32, frames ...[]byte) {
	x.Helper()
	var at [1]uint64
	for _, f := range frames {
		if x.pool.Get(at[:]) == 0 {
			x.Fatal("no frames are left")
		}
		d := device.Descriptor{Address: at[0], Length: uint32(len(f))}
		copy(x.mem.Packet(d), f)
		if x.wires[port].Transmit([]device.Descriptor{d}) != 1 {
			x.Fatal("the wire is full")
		}
	}
}

// run does rounds until nothing is left to do.
func (x *world) run() {
	for x.w.Round() > 0 {
	}
}

// received takes what has come out of a wire.
func (x *world) received(wire *device.Wire) (all [][]byte) {
	d := make([]device.Descriptor, worldFrames)
	for _, one := range d[:wire.Receive(d)] {
		all = append(all, bytes.Clone(x.mem.Packet(one)))
		x.pool.Put(one.Address)
	}
	return all
}

// wantOut checks what has left by a port since the last time.
func (x *world) wantOut(port uint32, want ...[]byte) {
	x.Helper()
	x.wantSame("out of port", port, x.received(x.wires[port]), want)
}

// wantUp checks what has gone to the kernel by a port.
func (x *world) wantUp(port uint32, want ...[]byte) {
	x.Helper()
	x.wantSame("up by port", port, x.received(x.kernels[port]), want)
}

// wantSame compares frames in any order: packets of one flow have theirs, others need not.
func (x *world) wantSame(what string, port uint32, got, want [][]byte) {
	x.Helper()
	slices.SortFunc(got, bytes.Compare)
	slices.SortFunc(want, bytes.Compare)
	if len(got) != len(want) {
		x.Fatalf("%s %d: %d frames, want %d\n%x", what, port, len(got), len(want), got)
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			x.Fatalf("%s %d: frame %d\n%x, want\n%x", what, port, i, got[i], want[i])
		}
	}
}

// wantCounted checks how many packets of a port have ended for a reason.
func (x *world) wantCounted(port uint32, r dataplane.Reason, want uint64) {
	x.Helper()
	c := x.w.Counters(port)
	if c[r].Packets != want {
		x.Errorf("port %d: %d packets for %s, want %d", port, c[r].Packets, r, want)
	}
}

// wantFates checks how many packets had some fates; all others had none.
func (x *world) wantFates(want map[Fate]uint64) {
	x.Helper()
	for f, n := range x.w.Fates() {
		if n.Packets != want[Fate(f)] {
			x.Errorf("%d packets %s, want %d", n.Packets, Fate(f), want[Fate(f)])
		}
	}
}

// wantConserved checks that no frame is lost, and that what came in is counted.
func (x *world) wantConserved(received uint64) {
	x.Helper()
	if out := x.pool.Size() - x.pool.Free() - x.w.holds.packets; out != 0 {
		x.Errorf("%d frames are nowhere", out)
	}
	var sum, verdicts uint64
	for n := range uint32(8) {
		c := x.w.Counters(n)
		sum += c.Received().Packets
		verdicts += c.Of(dataplane.Forward).Packets + c.Of(dataplane.Punt).Packets + c.Of(dataplane.Drop).Packets
	}
	if sum != received || verdicts != received {
		x.Errorf("%d packets counted, %d by verdict, %d came in", sum, verdicts, received)
	}
}
