package fabric

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/star"
	"weft/test/traffic"
)

// to are the hosts that h1 sends to, in turns.
var to = []int{2, 3, 4, 4}

// first is the first sequence number of each family's packets: a sink takes in both.
var first = map[int]uint64{4: 0, 6: 1 << 23}

var families = []int{4, 6}

// packetTime is that of all traffic: a packet of each family every millisecond.
const (
	every      = time.Millisecond
	packetTime = every / 2
)

// ways is through how many routers packets go.
const ways = 3

// stream is traffic from h1 to all others, with sequence numbers.
type stream struct {
	*fabric
	made  map[int]*traffic.Generator // of packets, by family
	sinks map[int]*traffic.Sink      // by host
	fd    int                        // AF_PACKET at h1
	at    []time.Time                // when the n-th packet of each family was sent
	end   context.CancelFunc
	ended chan error
}

// stream makes a stream, of which nothing has been sent.
func (f *fabric) stream() *stream {
	f.Helper()
	s := &stream{fabric: f, made: map[int]*traffic.Generator{}, sinks: map[int]*traffic.Sink{}}
	for host := 2; host <= len(leaves); host++ {
		node := fmt.Sprintf("h%d", host)
		index, mac := f.link(node, "eth0")
		f.in(node, func() (err error) {
			s.sinks[host], err = traffic.NewSink(index, traffic.SinkOptions{Check: true, TTL: 64 - ways, MAC: mac})
			return err
		})
	}
	index, mac := f.link("h1", "eth0")
	_, router := f.link("leaf1", "to-h1")
	for _, family := range families {
		spec := traffic.Spec{Ifindex: index, SrcMAC: mac, DstMAC: router, Src: star.HostAddr(1, family), FrameSize: 128, First: first[family]}
		for _, host := range to {
			spec.Dst = append(spec.Dst, star.HostAddr(host, family))
		}
		f.in("h1", func() (err error) {
			s.made[family], err = traffic.NewGenerator(spec)
			return err
		})
	}
	f.in("h1", func() (err error) {
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: index})
	})
	f.Cleanup(s.close)
	return s
}

func (s *stream) close() {
	if s.end != nil {
		s.end()
	}
	for _, g := range s.made {
		g.Close()
	}
	for _, sink := range s.sinks {
		_ = sink.Close() // with the interface, if it is gone
	}
	unix.Close(s.fd)
	s.made, s.sinks, s.end, s.fd = nil, nil, nil, -1
}

// in runs something in a node.
func (f *fabric) in(node string, do func() error) {
	f.Helper()
	if err := f.lab.In(node, do); err != nil {
		f.Fatalf("%s: %v", node, err)
	}
}

func (f *fabric) link(node, name string) (index int, mac [6]byte) {
	f.Helper()
	f.in(node, func() error {
		l, err := netlink.LinkByName(name)
		if err == nil {
			index = l.Attrs().Index
			copy(mac[:], l.Attrs().HardwareAddr)
		}
		return err
	})
	return index, mac
}

// begin sends until stop, and returns when packets arrive.
func (s *stream) begin() {
	s.Helper()
	ctx, end := context.WithCancel(context.Background())
	s.end, s.ended = end, make(chan error, 1)
	go func() {
		runtime.LockOSThread() // it sleeps and sends, and is woken sooner so
		defer runtime.UnlockOSThread()
		s.ended <- s.send(ctx)
	}()
	s.until("packets arrive", func() bool { return s.arrived() > 100 })
}

// send sends a packet of each family every millisecond, and catches up where it was late.
func (s *stream) send(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for start := time.Now(); ctx.Err() == nil; <-tick.C {
		for time.Since(start) >= time.Duration(len(s.at))*every {
			for _, family := range families {
				frame := s.made[family].Frame(first[family] + uint64(len(s.at)))
				if _, err := unix.Write(s.fd, frame); err != nil {
					return fmt.Errorf("send packet: %w", err)
				}
			}
			s.at = append(s.at, time.Now())
		}
	}
	return nil
}

// settle waits until so many packets have arrived, or no more do.
func (s *stream) settle(want uint64) {
	s.Helper()
	for last, since := uint64(0), time.Now(); s.arrived() < want && time.Since(since) < 300*time.Millisecond; time.Sleep(5 * time.Millisecond) {
		if now := s.arrived(); now != last {
			last, since = now, time.Now()
		}
	}
}

func (s *stream) arrived() (n uint64) {
	s.Helper()
	for _, sink := range s.sinks {
		c, err := sink.Counts()
		if err != nil {
			s.Fatal(err)
		}
		n += c.Packets
	}
	return n
}

// loss is what a stream has lost.
type loss struct {
	sent  uint64
	times []time.Time // at which packets were sent that did not arrive
}

// stop ends what begin began, and asserts that packets were right as they arrived.
func (s *stream) stop() (l loss) {
	s.Helper()
	s.end()
	if err := <-s.ended; err != nil {
		s.Fatal(err)
	}
	l.sent = uint64(len(s.at) * len(families))
	s.settle(l.sent)
	for host, sink := range s.sinks {
		c, err := sink.Counts()
		if err != nil {
			s.Fatal(err)
		}
		if c.WrongTTL+c.WrongMAC+c.Corrupt+c.Repeated != 0 {
			s.Errorf("packets at h%d are not as they should be: %+v", host, c)
		}
		for _, family := range families {
			missing, err := sink.Missing(first[family], len(s.at))
			if err != nil {
				s.Fatal(err)
			}
			for _, q := range missing {
				if to[q%uint64(len(to))] == host {
					l.times = append(l.times, s.at[q-first[family]])
				}
			}
		}
	}
	slices.SortFunc(l.times, time.Time.Compare)
	s.close()
	return l
}

// few packets may be lost where none should: as a link comes back one has been, once in
// some runs of a machine that was busy with much else. What is lost is told.
const few = 3

// keeps asserts that hardly a packet is lost while something happens.
func (f *fabric) keeps(what string, happens func()) loss {
	f.Helper()
	s := f.stream()
	s.begin()
	begin := time.Now()
	happens()
	l := s.stop()
	f.Logf("%s: %.2f s, %d of %d packets lost", what, time.Since(begin).Seconds(), len(l.times), l.sent)
	if n := len(l.times); n > few {
		f.Errorf("%s: %d of %d packets lost, the first %v after it began, the last %v", what, n, l.sent, l.times[0].Sub(begin), l.times[n-1].Sub(begin))
	}
	return l
}

// loses tells how many packets are lost while something happens: none before it begins, none after it is over.
func (f *fabric) loses(what string, happens func()) loss {
	f.Helper()
	s := f.stream()
	s.begin()
	begin := time.Now()
	happens()
	over := time.Now()
	s.until("traffic after it is over", func() bool { return time.Since(over) > time.Second/2 })
	l := s.stop()
	if n := len(l.times); n > 0 {
		f.Logf("%s: over after %v: %d of %d packets lost: %v of all traffic; the first after %v, the last after %v",
			what, over.Sub(begin), n, l.sent, l.blocked(), l.times[0].Sub(begin), l.times[n-1].Sub(begin))
		if l.times[0].Before(begin) || l.times[n-1].After(over) {
			f.Errorf("%s: packets lost before it began, or after it was over", what)
		}
	}
	return l
}

// blocked is for how long no packet would have arrived, with as many lost.
func (l *loss) blocked() time.Duration { return time.Duration(len(l.times)) * packetTime }

// flows is how many the generator makes: as many as it has source ports.
const flows = 1 << 14

// sharesFlows asserts that flows go through both spines, half each, and all by XDP. Of so many packets at once, h1 may
// not have been able to send all: its veth's queue is short.
func (f *fabric) sharesFlows(family int) {
	f.Helper()
	s := f.stream()
	defer s.close()
	before := f.forwarded()
	f.in("h1", func() error {
		_, err := s.made[family].Send(flows)
		return err
	})
	s.settle(flows)
	arrived, after := s.arrived(), f.forwarded()
	if arrived < flows*9/10 {
		f.Errorf("IPv%d: %d of %d packets have arrived", family, arrived, flows)
	}
	if n := after["leaf1"] - before["leaf1"]; n < arrived {
		f.Errorf("IPv%d: leaf1 has forwarded %d packets by XDP, want %d", family, n, arrived)
	}
	for _, spine := range spines {
		share := float64(after[spine]-before[spine]) / float64(arrived)
		f.Logf("IPv%d: %.1f %% of %d flows through %s", family, 100*share, arrived, spine)
		if want := 1 / float64(len(spines)); share < want-0.03 || share > want+0.03 {
			f.Errorf("IPv%d: %d of %d flows through %s, want half", family, after[spine]-before[spine], arrived, spine)
		}
	}
}

// forwarded is how many packets from h1 routers have forwarded by XDP.
func (f *fabric) forwarded() map[string]uint64 {
	f.Helper()
	all := map[string]uint64{}
	for router, dev := range map[string]string{"leaf1": "to-h1", "spine1": "to-leaf1", "spine2": "to-leaf1"} {
		var list star.PortList
		f.ask(router, &list, "ports")
		for _, p := range list.Ports {
			if p.Ifname == dev {
				all[router] = p.Forwarded
			}
		}
	}
	return all
}
