package star

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"weft/test/traffic"
)

// Stream is traffic from h1 with sequence numbers, and sinks at h2 and h3, which
// also look at TTL and MAC of what comes.
type Stream struct {
	*Network
	Gen   *traffic.Generator
	Sinks map[string]*traffic.Sink
	Ended chan error
	End   context.CancelFunc

	unsent uint64 // by h1's interface, before the stream
}

// rate of streams, packets a second. What a test changes under it takes long
// enough for thousands of them.
const Rate = 20000

// TrickleRate is that of a Network whose streams trickle: the loop's rings have room for what comes in 2 s, as long may it
// not come to run where others have its core. What a host sends late, of at most 100 ms, has room in a veth's queue.
const TrickleRate = 2000

// Rate is that of the Network's streams.
func (n *Network) Rate() uint64 {
	if n.Trickle {
		return TrickleRate
	}
	return Rate
}

// Stream makes a stream to destinations in turns: a power of two of them.
func (n *Network) Stream(dst ...string) *Stream {
	n.Helper()
	spec := traffic.Spec{SrcMAC: n.MAC("h1", "eth0"), DstMAC: n.MAC("r1", "to-h1"), Src: HostAddr(1, 4), FrameSize: 128}
	for _, d := range dst {
		spec.Dst = append(spec.Dst, netip.MustParseAddr(d))
	}
	if spec.Dst[0].Is6() {
		spec.Src = HostAddr(1, 6)
	}
	s := &Stream{Network: n, Sinks: map[string]*traffic.Sink{}}
	for _, host := range []string{"h2", "h3"} {
		index, mac := n.Link(host, "eth0").Attrs().Index, n.MAC(host, "eth0")
		err := n.Lab.In(host, func() error {
			sink, err := traffic.NewSink(index, traffic.SinkOptions{Check: true, TTL: 63, MAC: mac})
			if err == nil {
				s.Sinks[host] = sink
				n.Cleanup(func() { sink.Close() })
			}
			return err
		})
		if err != nil {
			n.Fatal(err)
		}
	}
	spec.Ifindex = n.Link("h1", "eth0").Attrs().Index
	err := n.Lab.In("h1", func() (err error) {
		s.Gen, err = traffic.NewGenerator(spec)
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(s.Gen.Close)
	s.unsent = n.unsent()
	return s
}

// unsent is how many frames h1's interface could not send: the queue of the veth was
// full, as the machine was busy with something else. The router has not seen them.
func (n *Network) unsent() (sum uint64) {
	n.Helper()
	if n.Trickle {
		return n.Link("h1", "eth0").Attrs().Statistics.TxDropped
	}
	for line := range strings.Lines(n.Command("h1", "ethtool", "-S", "eth0")) {
		var count uint64
		if name, text, _ := strings.Cut(strings.TrimSpace(line), ": "); strings.HasSuffix(name, "_xdp_xmit_errors") {
			if _, err := fmt.Sscan(text, &count); err != nil {
				n.Fatal(err)
			}
			sum += count
		}
	}
	return sum
}

// Sent returns how many packets the router has been sent.
func (s *Stream) Sent() uint64 {
	s.Helper()
	unsent := s.Network.unsent() - s.unsent
	if unsent > 0 {
		s.Logf("%d of %d packets were not sent: h1 was too busy", unsent, s.Gen.Sent())
	}
	return s.Gen.Sent() - unsent
}

// burstMost is what a veth's queue of 256 has room for, beside what else comes: as long as the machine is busy nobody takes from it.
const burstMost = 192

// Burst sends so many packets, in bursts that no queue is too short for, and waits until they have arrived.
func (s *Stream) Burst(packets int) {
	s.Helper()
	for ; packets > 0; packets -= burstMost {
		if _, err := s.Gen.Send(min(packets, burstMost)); err != nil {
			s.Fatal(err)
		}
		s.Await()
	}
}

// Begin sends at the Network's rate until stop.
func (s *Stream) Begin() {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.Ended, s.End = make(chan error, 1), cancel
	s.Cleanup(cancel)
	go func() {
		runtime.LockOSThread() // packets go on where they were made
		defer runtime.UnlockOSThread()
		if s.Trickle {
			s.Ended <- s.Lab.In("h1", func() error { return s.Gen.Trickle(ctx, TrickleRate) })
			return
		}
		s.Ended <- s.Gen.Pace(ctx, Rate)
	}()
	s.Until("packets arrive", func() bool { return s.Arrived() > s.Rate()/20 })
}

// Stop ends what begin began, and waits for what is on its way.
func (s *Stream) Stop() {
	s.Helper()
	s.End()
	if err := <-s.Ended; err != nil {
		s.Fatal(err)
	}
	s.Await()
}

// Await waits until all packets have arrived, or no more do.
func (s *Stream) Await() {
	s.Helper()
	for last, since := uint64(0), time.Now(); time.Since(since) < 200*time.Millisecond; time.Sleep(2 * time.Millisecond) {
		now := s.Arrived()
		if now >= s.Gen.Sent() {
			return
		}
		if now != last {
			last, since = now, time.Now()
		}
	}
}

func (s *Stream) Counts(host string) traffic.Counts {
	s.Helper()
	c, err := s.Sinks[host].Counts()
	if err != nil {
		s.Fatal(err)
	}
	return c
}

func (s *Stream) Arrived() uint64 {
	s.Helper()
	return s.Counts("h2").Packets + s.Counts("h3").Packets
}

// At returns which of the packets that were sent have come to a host.
func (s *Stream) At(host string) map[uint64]bool {
	s.Helper()
	missing := s.missing(host)
	all := map[uint64]bool{}
	for q := range s.Gen.Sent() {
		all[q] = true
	}
	for _, q := range missing {
		delete(all, q)
	}
	return all
}

// Lost returns how many packets have come to neither host.
func (s *Stream) Lost() (lost int) {
	s.Helper()
	two, three := s.missing("h2"), s.missing("h3")
	for _, q := range two {
		for len(three) > 0 && three[0] < q {
			three = three[1:]
		}
		if len(three) > 0 && three[0] == q {
			lost++
		}
	}
	return lost - int(s.Gen.Sent()-s.Sent())
}

// missing returns which of the packets that were sent have not come to a host.
func (s *Stream) missing(host string) []uint64 {
	s.Helper()
	missing, err := s.Sinks[host].Missing(0, int(s.Gen.Sent()))
	if err != nil {
		s.Fatal(err)
	}
	return missing
}

// WantAll asserts that each packet has arrived once and as it should. It returns
// how many were sent.
func (s *Stream) WantAll() (sent uint64) {
	s.Helper()
	sent = s.Sent()
	if lost := s.Lost(); lost != 0 {
		s.Errorf("%d of %d packets are lost", lost, sent)
		s.LogDrops()
	}
	for _, host := range []string{"h2", "h3"} {
		c := s.Counts(host)
		if c.WrongTTL+c.WrongMAC+c.Corrupt+c.Repeated != 0 {
			s.Errorf("packets at %s are not as they should be: %+v", host, c)
		}
	}
	return sent
}

// LogDrops logs where interfaces say that they have dropped something: in a queue
// that was full, if all is busy.
func (s *Stream) LogDrops() {
	s.Helper()
	for _, at := range []struct{ node, name string }{
		{"h1", "eth0"}, {"r1", "to-h1"}, {"r1", "to-h2"}, {"r1", "to-h3"}, {"h2", "eth0"}, {"h3", "eth0"},
	} {
		out, _ := s.Lab.Output(at.node, "ethtool", "-S", at.name)
		for line := range strings.Lines(string(out)) {
			name, count, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if (strings.Contains(name, "drop") || strings.Contains(name, "err")) && count != "0" {
				s.Logf("%s of %s: %s %s", at.name, at.node, name, count)
			}
		}
		s.Logf("%s of %s: %v", at.name, at.node, s.Link(at.node, at.name).Attrs().Statistics)
	}
}

// Close ends the stream, for another one to begin.
func (s *Stream) Close() {
	s.Helper()
	s.Gen.Close()
	for _, sink := range s.Sinks {
		if err := sink.Close(); err != nil {
			s.Fatal(err)
		}
	}
}

// WantShare asserts what part of the packets have come to h2, in percent.
func (s *Stream) WantShare(percent int) {
	s.Helper()
	at2, sent := int(s.Counts("h2").Packets), int(s.Gen.Sent())
	if got := 100 * float64(at2) / float64(sent); got < float64(percent)-3 || got > float64(percent)+3 {
		s.Errorf("%d of %d packets have come to h2: %.1f %%, want %d", at2, sent, got, percent)
	}
}
