package xsk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/vethtest"
	"weft/dataplane/soft/xsk"
)

// datagram is a frame of one of many flows, by which a port with several queues sends them by all.
func datagram(flow int) []byte {
	f := vethtest.Frame(flow, 64)
	copy(f[12:], []byte{0x08, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(f[34:], uint16(1000+flow))
	return f
}

// port is one of two ports of a worker, and what is at the other end of it.
type port struct {
	*xsk.Socket
	*vethtest.Wire
	ifindex int
}

// worker has two ports on one memory.
type worker struct {
	mem   *device.Memory
	pool  *device.Pool
	umem  *xsk.UMEM
	ports [2]port
}

func newWorker(t testing.TB, frames int, o xsk.Options) *worker {
	t.Helper()
	two := newTwoPorts(t, frames, o)
	w := &worker{mem: two.mem, pool: two.pool, umem: two.umem}
	for i, s := range two.sockets {
		if err := s.Register(redirectAll(t, two.ports[i].Index), 0); err != nil {
			t.Fatal(err)
		}
		w.ports[i] = port{s, vethtest.NewWire(t, two.peers[i].Index), two.ports[i].Index}
	}
	return w
}

// receive takes n packets from a socket, waiting for them as a loop that sleeps does.
func receive(t testing.TB, s *xsk.Socket, n int) []device.Descriptor {
	t.Helper()
	all := make([]device.Descriptor, n)
	got := 0
	vethtest.Until(t, "packets come in", func() bool {
		if !s.Arm() {
			poll := []unix.PollFd{{Fd: int32(s.FD()), Events: unix.POLLIN}}
			if _, err := unix.Poll(poll, 1000); err != nil && !errors.Is(err, unix.EINTR) {
				t.Fatal(err)
			}
		}
		got += s.Receive(all[got:])
		return got == n
	})
	return all
}

// TestForward sends packets through a worker in both directions: what comes out is what came in, in the frame that it
// came in.
func TestForward(t *testing.T) {
	w := newWorker(t, 512, xsk.Options{Ring: 64})
	for from := range w.ports {
		in, out := w.ports[from], w.ports[1-from]
		if in.ZeroCopy() {
			t.Error("a veth is in zero-copy")
		}
		for i, size := range []int{60, 64, 65, 1000, 1514, w.umem.PacketMax()} {
			sent := vethtest.Frame(i, min(size, 1514))
			in.Send(sent)
			d := receive(t, in.Socket, 1)
			if d[0].Port != uint32(from+1) || !bytes.Equal(w.mem.Packet(d[0]), sent) {
				t.Fatalf("came in by port %d as\n% x, want port %d\n% x", d[0].Port, w.mem.Packet(d[0]), from+1, sent)
			}
			if head := int(d[0].Address) & (w.mem.FrameSize() - 1); head < device.Headroom {
				t.Errorf("%d bytes of headroom, want %d", head, device.Headroom)
			}
			free := w.pool.Free()
			if n := out.Transmit(d); n != 1 || out.Pending() != 1 {
				t.Fatalf("%d handed over, %d pending", n, out.Pending())
			}
			out.Flush()
			if got := out.Next(); !bytes.Equal(got, sent) {
				t.Fatalf("went out as\n% x, want\n% x", got, sent)
			}
			vethtest.Until(t, "the frame comes back", func() bool { out.Flush(); return out.Pending() == 0 })
			var again [1]uint64
			if w.pool.Free() != free+1 || w.pool.Get(again[:]) != 1 || again[0]^d[0].Address >= uint64(w.mem.FrameSize()) {
				t.Errorf("%d frames are free, were %d, first %#x: want that of %#x", w.pool.Free()+1, free, again[0], d[0].Address)
			}
			w.pool.Put(again[0])
		}
	}
	for _, p := range w.ports {
		want := device.Stats{Received: 6, Transmitted: 6, Wakeups: p.Stats().Wakeups}
		if got := p.Stats(); got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
	}
}

// TestWrap sends so many packets that all rings wrap around, many times.
func TestWrap(t *testing.T) {
	w := newWorker(t, 256, xsk.Options{Ring: 64})
	in, out := w.ports[0], w.ports[1]
	const batch = 37 // of no power of two
	for n := 0; n < 50*batch; n += batch {
		for i := range batch {
			in.Send(vethtest.Frame(n+i, 60+i))
		}
		d := receive(t, in.Socket, batch)
		if sent := out.Transmit(d); sent != batch {
			t.Fatalf("%d of %d handed over", sent, batch)
		}
		out.Flush()
		for i := range batch {
			if got, want := out.Next(), vethtest.Frame(n+i, 60+i); !bytes.Equal(got, want) {
				t.Fatalf("packet %d: got\n% x, want\n% x", n+i, got, want)
			}
		}
		vethtest.Until(t, "all frames come back", func() bool { out.Flush(); return out.Pending() == 0 })
	}
	if lost := in.Stats().LostNoFrame + out.Stats().LostTransmit; lost != 0 {
		t.Errorf("%d packets are lost", lost)
	}
}

// TestExhausted keeps all frames: what comes in then is lost, and counted; with frames again it is not.
func TestExhausted(t *testing.T) {
	w := newWorker(t, 128, xsk.Options{Ring: 64})
	in, out := w.ports[0], w.ports[1]
	if w.pool.Free() != 0 {
		t.Fatalf("%d frames are free, want all of them in the two fill rings", w.pool.Free())
	}
	const more = 10
	for i := range 64 + more {
		in.Send(vethtest.Frame(i, 64))
	}
	kept := receive(t, in.Socket, 64)
	vethtest.Until(t, "losses are counted", func() bool { return in.Stats().LostNoFrame == more })
	if k := in.Statistics(); k.RxDropped+k.RxRingFull != more {
		t.Errorf("the kernel has counted %+v, want %d lost", k, more)
	}
	if n := in.Receive(make([]device.Descriptor, 8)); n != 0 {
		t.Errorf("%d packets came in without a frame", n)
	}
	// Back by the other port.
	if n := out.Transmit(kept); n != 64 {
		t.Fatalf("%d of 64 handed over", n)
	}
	if n := out.Transmit(kept[:1]); n != 0 {
		t.Error("a full ring has taken a packet")
	}
	vethtest.Until(t, "all frames come back", func() bool { out.Flush(); return out.Pending() == 0 })
	for i := range 64 {
		if got, want := out.Next(), vethtest.Frame(i, 64); !bytes.Equal(got, want) {
			t.Fatalf("packet %d: got\n% x, want\n% x", i, got, want)
		}
	}
	in.Receive(nil) // gives them to the kernel
	in.Send(vethtest.Frame(1000, 64))
	if d := receive(t, in.Socket, 1); !bytes.Equal(w.mem.Packet(d[0]), vethtest.Frame(1000, 64)) {
		t.Errorf("got % x", w.mem.Packet(d[0]))
	}
	if got := in.Stats(); got.Received != 65 || got.LostNoFrame != more {
		t.Errorf("sent %d, counted %+v", 65+more, got)
	}
}

// TestWakeup asserts that a packet leaves by a system call, one for all of a batch, and that none is made for nothing.
func TestWakeup(t *testing.T) {
	w := newWorker(t, 1024, xsk.Options{Ring: 256})
	in, out := w.ports[0], w.ports[1]
	const batch = 32 // every kernel sends as many with one call
	for i := range batch {
		in.Send(vethtest.Frame(i, 64))
	}
	d := receive(t, in.Socket, batch)
	if out.Transmit(d) != batch {
		t.Fatal("not all handed over")
	}
	out.Quiet()
	if n := out.Stats().Wakeups; n != 0 {
		t.Errorf("%d system calls, and nothing was to be sent yet", n)
	}
	out.Flush()
	vethtest.Until(t, "all frames come back", func() bool { out.Flush(); return out.Pending() == 0 })
	if n := out.Stats().Wakeups; n != 1 {
		t.Errorf("%d system calls for a batch, want 1", n)
	}
	for range 100 {
		out.Flush()
		in.Receive(d)
	}
	if got := out.Stats().Wakeups + in.Stats().Wakeups; got != 1 {
		t.Errorf("%d system calls with nothing to do", got-1)
	}
}

// TestQueues has a socket for each queue of a port with four, and another four at the port that packets leave by.
func TestQueues(t *testing.T) {
	const queues, flows = 4, 256
	vethtest.Enter(t)
	mem, pool := vethtest.NewMemory(t, 4096)
	u := xsk.NewUMEM(mem)
	here, there := vethtest.Pair(t, "many", queues)
	outHere, outThere := vethtest.Pair(t, "out", queues)
	m := redirectAll(t, here.Index)
	if n := xsk.Queues(here.Index); n != queues {
		t.Fatalf("%d queues, want %d", n, queues)
	}
	var in, out [queues]*xsk.Socket
	for q := range queues {
		in[q] = open(t, u, pool, xsk.Where{Port: 1, Ifindex: here.Index, Queue: q}, xsk.Options{Ring: 512})
		out[q] = open(t, u, pool, xsk.Where{Port: 2, Ifindex: outHere.Index, Queue: q}, xsk.Options{Ring: 512})
		if err := in[q].Register(m, uint32(q)); err != nil {
			t.Fatal(err)
		}
	}
	from, to := vethtest.NewWire(t, there.Index), vethtest.NewWire(t, outThere.Index)
	for i := range flows {
		from.Send(datagram(i))
	}
	var got [queues]int
	d := make([]device.Descriptor, 64)
	vethtest.Until(t, "all packets have come in", func() bool {
		sum := 0
		for q := range queues {
			n := in[q].Receive(d)
			if out[q].Transmit(d[:n]) != n {
				t.Fatal("not all handed over")
			}
			out[q].Flush()
			got[q] += n
			sum += got[q]
		}
		return sum == flows
	})
	for q, n := range got {
		if n == 0 {
			t.Errorf("no packet of %d flows came by queue %d: %v", flows, q, got)
		}
	}
	seen := map[string]bool{}
	for range flows {
		seen[string(to.Next())] = true
	}
	for i := range flows {
		if !seen[string(datagram(i))] {
			t.Errorf("flow %d did not arrive, or not as it was", i)
		}
	}
}

// TestClose asserts that frames in the rings of a socket are free when it is closed, whichever ring it was.
func TestClose(t *testing.T) {
	vethtest.Enter(t)
	mem, pool := vethtest.NewMemory(t, 512)
	u := xsk.NewUMEM(mem)
	one, peer := vethtest.Pair(t, "one", 1)
	s := open(t, u, pool, xsk.Where{Port: 1, Ifindex: one.Index}, xsk.Options{Ring: 64})
	if err := s.Register(redirectAll(t, one.Index), 0); err != nil {
		t.Fatal(err)
	}
	w := vethtest.NewWire(t, peer.Index)
	for i := range 30 {
		w.Send(vethtest.Frame(i, 64))
	}
	d := receive(t, s, 10) // 20 stay, if they are there yet
	if s.Transmit(d) != 10 {
		t.Fatal("not all handed over")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if pool.Free() != pool.Size() {
		t.Errorf("%d of %d frames are free", pool.Free(), pool.Size())
	}
	if got := s.Stats(); got.Received != 10 || got.Transmitted != 10 {
		t.Errorf("a closed socket says %+v", got)
	}
	// The queue is free, too.
	again := open(t, u, pool, xsk.Where{Port: 1, Ifindex: one.Index}, xsk.Options{Ring: 64})
	if again.Stats() != (device.Stats{}) {
		t.Errorf("a new socket says %+v", again.Stats())
	}
}

// TestVanish removes an interface under a socket: the other one goes on, and new ones find memory to share.
func TestVanish(t *testing.T) {
	w := newWorker(t, 1024, xsk.Options{Ring: 64})
	link, err := netlink.LinkByIndex(w.ports[0].ifindex)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil {
		t.Fatal(err)
	}
	gone := w.ports[0].Socket
	var address [1]uint64
	w.pool.Get(address[:])
	vethtest.Until(t, "a socket without an interface says so", func() bool {
		gone.Transmit([]device.Descriptor{{Address: address[0], Length: 64}})
		gone.Flush()
		return gone.Stats().Error != nil
	})
	if n := gone.Receive(make([]device.Descriptor, 8)); n != 0 {
		t.Errorf("%d packets came in by an interface that is gone", n)
	}
	here, there := vethtest.Pair(t, "three", 1)
	s := open(t, w.umem, w.pool, xsk.Where{Port: 3, Ifindex: here.Index}, xsk.Options{Ring: 64})
	if err := s.Register(redirectAll(t, here.Index), 0); err != nil {
		t.Fatal(err)
	}
	vethtest.NewWire(t, there.Index).Send(vethtest.Frame(1, 64))
	d := receive(t, s, 1)
	w.ports[1].Transmit(d)
	w.ports[1].Flush()
	if got := w.ports[1].Next(); !bytes.Equal(got, vethtest.Frame(1, 64)) {
		t.Errorf("got % x", got)
	}
}

// TestBeside has several goroutines send by one queue, each by a socket of its own, while frames come back to any of them:
// all packets leave, those of each in order, and no frame is lost.
func TestBeside(t *testing.T) {
	vethtest.Enter(t)
	const senders, packets, batch = 3, 3000, 32
	here, there := vethtest.Pair(t, "one", 1)
	m, err := device.NewMemory(4096, device.MinFrameSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	d, err := m.NewDepot(4096, senders)
	if err != nil {
		t.Fatal(err)
	}
	u := xsk.NewUMEM(m)
	pools := []*device.Pool{d.NewPool(), d.NewPool(), d.NewPool()}
	where := xsk.Where{Port: 1, Ifindex: here.Index}
	first, err := xsk.Open(u, pools[0], where, xsk.Options{Ring: 512})
	if err != nil {
		t.Fatal(err)
	}
	sockets := []*xsk.Socket{first}
	for _, p := range pools[1:] {
		s, err := xsk.Open(u, p, where, xsk.Options{Ring: 512, Beside: first})
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, s)
	}
	wire := vethtest.NewWire(t, there.Index)
	window := make(chan struct{}, 512) // what is under way: the other end takes no more than 1000
	send := func(n int, s *xsk.Socket, done chan<- int) {
		at, all := make([]uint64, batch), make([]device.Descriptor, batch)
		for sent := 0; sent < packets; {
			got := pools[n].Get(at[:min(batch, packets-sent)])
			for i := range got {
				window <- struct{}{}
				all[i] = device.Descriptor{Address: at[i], Length: 64}
				copy(m.Packet(all[i]), vethtest.Frame(n<<24|(sent+i), 64))
			}
			for n := 0; n < got; s.Flush() {
				n += s.Transmit(all[n:got])
			}
			sent += got
		}
		done <- n
	}
	done := make(chan int, senders)
	for n, s := range sockets {
		go send(n, s, done)
	}
	var next [senders]uint32
	for range senders * packets {
		number := binary.BigEndian.Uint32(wire.Next()[14:])
		<-window
		n := number >> 24
		if n >= senders || number&0xffffff != next[n] {
			t.Fatalf("packet %d of sender %d came, want %d", number&0xffffff, n, next[n])
		}
		next[n]++
	}
	for range senders {
		<-done
	}
	vethtest.Until(t, "all frames have come back", func() bool { sockets[1].Flush(); return sockets[1].Pending() == 0 })
	for n := senders - 1; n >= 0; n-- {
		if lost := sockets[n].Stats().LostTransmit; lost > 0 {
			t.Errorf("sender %d has lost %d packets", n, lost)
		}
		if err := sockets[n].Close(); err != nil {
			t.Error(err)
		}
	}
	free := d.Free()
	for _, p := range pools {
		free += p.Free() - d.Free()
	}
	if free != m.Frames() {
		t.Errorf("%d of %d frames are free in the end", free, m.Frames())
	}
}
