package traffic_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"weft/test/traffic"
)

// mixed makes a spec with frames of many sizes and of both families.
func mixed(ifindex int) traffic.Spec {
	s := spec(ifindex, "ipv4", 64)
	s.Src6, s.Dst6 = netip.MustParseAddr("2001:db8::2"), spec(ifindex, "ipv6", 80).Dst[:4]
	s.Pattern = []traffic.Kind{{60, false}, {80, true}, {1514, false}, {64, false}, {566, true}, {76, false}, {92, false}}
	return s
}

// Pages are used again for frames of other sizes and of the other family: each byte is right.
func TestPattern(t *testing.T) {
	from, to := pair(t)
	if err := traffic.EnableGRO("to"); err != nil {
		t.Fatal(err)
	}
	s := mixed(from)
	g, err := traffic.NewGenerator(s)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	next := capture(t, to)
	for i := range uint64(150) {
		if i%30 == 0 { // as many as the socket has room for
			if n, err := g.Send(30); n != 30 || err != nil {
				t.Fatalf("sent %d: %v", n, err)
			}
		}
		b, k := next(), s.Pattern[i%7]
		one := s
		one.FrameSize = k.Size
		if k.IPv6 {
			one.Src, one.Dst = s.Src6, s.Dst6
		}
		checkPacket(t, b, one, i)
		if want := g.Frame(i); !bytes.Equal(b, want) {
			t.Fatalf("frame %d\n%x, Frame says\n%x", i, b, want)
		}
	}
}

// A load ends with its last packet, whatever its rate, and says what it was.
func TestRun(t *testing.T) {
	for _, l := range []traffic.Load{
		{Packets: 100_000}, {Packets: 30_000, Rate: 200_000}, {Packets: 20_001, Rate: 20_001}, {Packets: 300, Rate: 3000}, {Packets: 1, Rate: 1e6},
	} {
		t.Run(strconv.Itoa(int(l.Rate)), func(t *testing.T) {
			from, to := pair(t)
			s := mixed(from)
			s.Stamp = 4
			g, err := traffic.NewGenerator(s)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			sink, err := traffic.NewSink(to, traffic.SinkOptions{Sequences: true, Latency: true})
			if err != nil {
				t.Fatal(err)
			}
			defer sink.Close()
			sent, err := g.Run(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			got, err := sink.Wait(l.Packets)
			if err != nil {
				t.Fatal(err)
			}
			if sent.Packets != l.Packets || got.Packets != l.Packets || got.Bytes != sent.Bytes || got.Marked != l.Packets {
				t.Errorf("load %+v: sent %+v, got %+v", l, sent, got)
			}
			if got.Lost()+got.Repeated+got.Late+got.Corrupt+got.Foreign != 0 {
				t.Errorf("not all is well: %+v", got)
			}
			// Slower is possible: others have the CPU.
			if l.Rate > 0 && l.Packets > 1 && sent.Rate > 1.05*l.Rate {
				t.Errorf("%.0f packets a second, want %.0f", sent.Rate, l.Rate)
			}
			h, err := sink.Latencies()
			if err != nil {
				t.Fatal(err)
			}
			if want := (l.Packets + 3) / 4; h.Count() != want {
				t.Errorf("%d times, want %d", h.Count(), want)
			}
			if p50, p100 := h.Quantile(0.5), h.Quantile(1); p50 < 50 || p50 > p100 {
				t.Errorf("median %v, longest %v", p50, p100)
			}
		})
	}
}

// A load ends when its time is over, which begins with its packets.
func TestRunTime(t *testing.T) {
	for _, rate := range []float64{0, 100_000, 1000} {
		from, to := pair(t)
		g, err := traffic.NewGenerator(spec(from, "ipv4", 64))
		if err != nil {
			t.Fatal(err)
		}
		sink, err := traffic.NewSink(to, traffic.SinkOptions{Sequences: true})
		if err != nil {
			t.Fatal(err)
		}
		sent, err := g.Run(t.Context(), traffic.Load{Rate: rate, Time: 50 * time.Millisecond})
		if err != nil || sent.Packets == 0 || rate > 0 && float64(sent.Packets+sent.Skipped) < 0.04*rate {
			t.Errorf("rate %g: sent %+v: %v", rate, sent, err)
		}
		if got, err := sink.Wait(sent.Packets); err != nil || got.Packets != sent.Packets || got.Lost() != 0 {
			t.Errorf("rate %g: sent %+v, got %+v: %v", rate, sent, got, err)
		}
		sink.Close()
		g.Close()
	}
}

// A context ends a load that has no end, in the middle of a call.
func TestRunEnds(t *testing.T) {
	for _, l := range []traffic.Load{{}, {Rate: 1e5}, {Rate: 1000}, {Rate: 0.01}, {Packets: math.MaxInt64}} {
		from, to := pair(t)
		g, err := traffic.NewGenerator(spec(from, "ipv4", 64))
		if err != nil {
			t.Fatal(err)
		}
		sink, err := traffic.NewSink(to, traffic.SinkOptions{Sequences: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for g.Sent() == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		sent, err := g.Run(ctx, l)
		if err != nil || sent.Packets == 0 {
			t.Errorf("load %+v: sent %+v: %v", l, sent, err)
		}
		if got, err := sink.Wait(sent.Packets); err != nil || got.Packets != sent.Packets || got.Lost() != 0 {
			t.Errorf("load %+v: sent %+v, got %+v: %v", l, sent, got, err)
		}
		sink.Close()
		g.Close()
	}
}

func TestImpossibleRates(t *testing.T) {
	from, _ := pair(t)
	g, err := traffic.NewGenerator(spec(from, "ipv4", 64))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, rate := range []float64{-1, 1e-9, 1e12, math.NaN(), math.Inf(1)} {
		if sent, err := g.Run(t.Context(), traffic.Load{Rate: rate, Packets: 1}); !errors.Is(err, traffic.ErrRate) || sent.Packets != 0 {
			t.Errorf("rate %g: sent %+v, %v", rate, sent, err)
		}
	}
}

func TestJumbo(t *testing.T) {
	from, to := pair(t)
	for _, name := range []string{"from", "to"} {
		setMTU(t, name, 9000)
	}
	s := spec(from, "ipv4", 9014)
	s.Stamp = 1
	g, err := traffic.NewGenerator(s)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	sink, err := traffic.NewSink(to, traffic.SinkOptions{Check: true, Latency: true, Jumbo: true, TTL: s.TTL, MAC: s.DstMAC})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	if sent, err := g.Run(t.Context(), traffic.Load{Packets: 500}); err != nil || sent.Packets != 500 {
		t.Fatalf("sent %+v: %v", sent, err)
	}
	got, err := sink.Wait(500)
	if err != nil {
		t.Fatal(err)
	}
	want := traffic.Counts{Packets: 500, Bytes: 500 * 9014, Marked: 500, Next: 500}
	if got.Rate = 0; got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	last, err := sink.Last()
	if err != nil {
		t.Fatal(err)
	}
	checkPacket(t, last, s, 499)
}

func setMTU(t *testing.T, name string, bytes int) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetMTU(l, bytes)
	}
	if err != nil {
		t.Fatal(err)
	}
}
