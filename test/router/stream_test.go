package router

import (
	"context"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"weft/test/traffic"
)

// stream is traffic from h1 with sequence numbers, and sinks at h2 and h3, which
// also look at TTL and MAC of what comes.
type stream struct {
	*network
	gen   *traffic.Generator
	sinks map[string]*traffic.Sink
	ended chan error
	end   context.CancelFunc
}

// rate of streams, packets a second. What a test changes under it takes long
// enough for thousands of them.
const rate = 20000

// stream makes a stream to destinations in turns: a power of two of them.
func (n *network) stream(dst ...string) *stream {
	n.Helper()
	spec := traffic.Spec{SrcMAC: n.mac("h1", "eth0"), DstMAC: n.mac("r1", "to-h1"), Src: hostAddr(1, 4), FrameSize: 128}
	for _, d := range dst {
		spec.Dst = append(spec.Dst, netip.MustParseAddr(d))
	}
	if spec.Dst[0].Is6() {
		spec.Src = hostAddr(1, 6)
	}
	s := &stream{network: n, sinks: map[string]*traffic.Sink{}}
	for _, host := range []string{"h2", "h3"} {
		index, mac := n.link(host, "eth0").Attrs().Index, n.mac(host, "eth0")
		err := n.lab.In(host, func() error {
			sink, err := traffic.NewSink(index, traffic.SinkOptions{Check: true, TTL: 63, MAC: mac})
			if err == nil {
				s.sinks[host] = sink
				n.Cleanup(func() { sink.Close() })
			}
			return err
		})
		if err != nil {
			n.Fatal(err)
		}
	}
	spec.Ifindex = n.link("h1", "eth0").Attrs().Index
	err := n.lab.In("h1", func() (err error) {
		s.gen, err = traffic.NewGenerator(spec)
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(s.gen.Close)
	return s
}

// burst sends so many packets at once and waits until they have arrived.
func (s *stream) burst(packets int) {
	s.Helper()
	if _, err := s.gen.Send(packets); err != nil {
		s.Fatal(err)
	}
	s.await()
}

// begin sends at rate until stop.
func (s *stream) begin() {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.ended, s.end = make(chan error, 1), cancel
	s.Cleanup(cancel)
	go func() {
		runtime.LockOSThread() // packets go on where they were made
		defer runtime.UnlockOSThread()
		s.ended <- s.gen.Pace(ctx, rate)
	}()
	s.until("packets arrive", func() bool { return s.arrived() > rate/20 })
}

// stop ends what begin began, and waits for what is on its way.
func (s *stream) stop() {
	s.Helper()
	s.end()
	if err := <-s.ended; err != nil {
		s.Fatal(err)
	}
	s.await()
}

// await waits until all packets have arrived, or no more do.
func (s *stream) await() {
	s.Helper()
	for last, since := uint64(0), time.Now(); time.Since(since) < 200*time.Millisecond; time.Sleep(2 * time.Millisecond) {
		now := s.arrived()
		if now >= s.gen.Sent() {
			return
		}
		if now != last {
			last, since = now, time.Now()
		}
	}
}

func (s *stream) counts(host string) traffic.Counts {
	s.Helper()
	c, err := s.sinks[host].Counts()
	if err != nil {
		s.Fatal(err)
	}
	return c
}

func (s *stream) arrived() uint64 {
	s.Helper()
	return s.counts("h2").Packets + s.counts("h3").Packets
}

// at returns which of the packets that were sent have come to a host.
func (s *stream) at(host string) map[uint64]bool {
	s.Helper()
	missing, err := s.sinks[host].Missing(0, int(s.gen.Sent()))
	if err != nil {
		s.Fatal(err)
	}
	all := map[uint64]bool{}
	for q := range s.gen.Sent() {
		all[q] = true
	}
	for _, q := range missing {
		delete(all, q)
	}
	return all
}

// lost returns how many packets have come to neither host.
func (s *stream) lost() int {
	s.Helper()
	there := s.at("h2")
	for q := range s.at("h3") {
		there[q] = true
	}
	return int(s.gen.Sent()) - len(there)
}

// wantAll asserts that each packet has arrived once and as it should. It returns
// how many were sent.
func (s *stream) wantAll() (sent uint64) {
	s.Helper()
	sent = s.gen.Sent()
	if lost := s.lost(); lost != 0 {
		s.Errorf("%d of %d packets are lost", lost, sent)
	}
	for _, host := range []string{"h2", "h3"} {
		c := s.counts(host)
		if c.WrongTTL+c.WrongMAC+c.Corrupt+c.Repeated+c.Unknown != 0 {
			s.Errorf("packets at %s are not as they should be: %+v", host, c)
		}
	}
	return sent
}

// close ends the stream, for another one to begin.
func (s *stream) close() {
	s.Helper()
	s.gen.Close()
	for _, sink := range s.sinks {
		if err := sink.Close(); err != nil {
			s.Fatal(err)
		}
	}
}

// A stream that cannot lose anything would prove nothing.
func TestStreamTellsLoss(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	n.ip("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	n.ip("r1", "route add blackhole 10.71.0.0/16")
	n.wantForward("10.70.0.1", "to-h2", "10.2.0.2")
	n.wantReason("10.71.0.1", "blackhole_route")
	s := n.stream("10.70.0.1", "10.70.0.2", "10.70.0.3", "10.71.0.1")
	n.wantCounted("to-h1", "blackhole_route", 256, func() {
		n.wantCounted("to-h1", "forwarded", 768, func() { s.burst(1024) })
	})
	if lost := s.lost(); lost != 256 {
		t.Errorf("%d packets are lost, want 256", lost)
	}
}
