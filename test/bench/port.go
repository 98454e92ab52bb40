package bench

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/bench/peer"
	"weft/test/traffic"
)

// GenOptions say what a generator alone does, at any port of the calling process's network namespace.
type GenOptions struct {
	Device         string
	SrcMAC, DstMAC net.HardwareAddr // nil SrcMAC: the port's
	Src            []netip.Addr     // at most one of a family; none: of benchmarking's range
	Dst            []netip.Prefix   // destinations are any address of any of them; of both families: in turns
	Destinations   int              // how many addresses at most
	Sizes          []int            // of frames, with their checksum, one after the other
	Rate           float64          // packets a second; 0: as many as go
	Packets        uint64           // 0: no end
	Time           time.Duration    // 0: no end
	Flows          int              // source ports, a power of two
	TTL            int
	Seed           uint64
	CPU            int // -1: any
}

// GenCount is what a generator has made so far.
type GenCount struct {
	Seconds float64 `json:"seconds"`
	Packets uint64  `json:"packets"`
	Bytes   uint64  `json:"bytes,omitempty"`   // at the end: of frames, without checksum
	Skipped uint64  `json:"skipped,omitempty"` // that the rate asked for and that the CPU did not come to
	Rate    float64 `json:"rate"`              // packets a second: of the last second, at the end of all
	Done    bool    `json:"done,omitempty"`
}

// Gen sends until all is sent or ctx ends, and tells each second how far it is.
//
// Errors: ErrSize, ErrRate.
func Gen(ctx context.Context, o GenOptions, tell func(GenCount) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	spec, err := o.spec()
	if err != nil {
		return fmt.Errorf("generate at %s: %w", o.Device, err)
	}
	if err := prepare(o.CPU); err != nil {
		return err
	}
	g, err := traffic.NewGenerator(spec)
	if err != nil {
		return err
	}
	defer g.Close()
	if o.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Time)
		defer cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.Now()
	told := make(chan error, 1)
	go func() {
		told <- eachSecond(ctx, func(seconds, last float64) error {
			return tell(GenCount{Seconds: time.Since(begin).Seconds(), Packets: g.Sent(), Rate: (float64(g.Sent()) - last) / seconds})
		}, func() float64 { return float64(g.Sent()) })
		cancel() // who is not listened to need not go on
	}()
	s, err := g.Run(ctx, traffic.Load{Rate: o.Rate, Packets: o.Packets})
	cancel()
	if err = errors.Join(err, <-told); err != nil {
		return err
	}
	return tell(GenCount{time.Since(begin).Seconds(), s.Packets, s.Bytes, s.Skipped, s.Rate, true})
}

// eachSecond calls f each second with the time since the last one, and what value was then.
func eachSecond(ctx context.Context, f func(seconds, last float64) error, value func() float64) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	at, last := time.Now(), value()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		seconds, now := time.Since(at).Seconds(), value()
		if err := f(seconds, last); err != nil {
			return err
		}
		at, last = time.Now(), now
	}
}

// prepare is for BPF programs, on one CPU.
func prepare(cpu int) error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("work on CPU %d: %w: this machine has %d", cpu, err, runtime.NumCPU())
	}
	return nil
}

func (o *GenOptions) spec() (s traffic.Spec, err error) {
	link, err := netlink.LinkByName(o.Device)
	if err != nil {
		return s, err
	}
	a := link.Attrs()
	if err := checkMTU(o.Device, a.MTU, o.Sizes); err != nil {
		return s, err
	}
	if a.Flags&net.FlagUp == 0 {
		return s, fmt.Errorf("it is down: set it up with 'ip link set %s up'", o.Device)
	}
	s = traffic.Spec{Ifindex: a.Index, TTL: uint8(o.TTL), Flows: o.Flows, Stamp: 16}
	source := o.SrcMAC
	if source == nil {
		source = a.HardwareAddr
	}
	if len(source) != 6 || len(o.DstMAC) != 6 {
		return s, errors.New("it is no Ethernet interface, or a MAC is none")
	}
	s.SrcMAC, s.DstMAC = [6]byte(source), [6]byte(o.DstMAC)
	dst4, dst6 := o.destinations()
	s.Src, s.Dst, s.Src6, s.Dst6 = o.source(false), dst4, o.source(true), dst6
	if dst4 == nil {
		s.Src, s.Dst = s.Src6, s.Dst6
	}
	s.Pattern = kinds(o.Sizes, dst4 != nil, dst6 != nil)
	return s, nil
}

func (o *GenOptions) source(v6 bool) netip.Addr {
	for _, a := range o.Src {
		if a.Is6() == v6 {
			return a
		}
	}
	if v6 {
		return netip.MustParseAddr("2001:2::1")
	}
	return netip.MustParseAddr("198.18.0.1")
}

// destinations draws addresses: a power of two of each family, none if no prefix is of it.
func (o *GenOptions) destinations() (v4, v6 []netip.Addr) {
	var t peer.Table
	for _, p := range o.Dst {
		if p.Addr().Is4() {
			t.IPv4 = append(t.IPv4, p)
		} else {
			t.IPv6 = append(t.IPv6, p)
		}
	}
	draw := func(v6 bool, prefixes []netip.Prefix) []netip.Addr {
		if prefixes == nil {
			return nil
		}
		addresses := 0 // bits of how many there are
		for _, p := range prefixes {
			addresses = max(addresses, p.Addr().BitLen()-p.Bits()) + bits.Len(uint(len(prefixes)-1))
		}
		return t.Destinations(v6, 1<<min(bits.Len(uint(max(1, o.Destinations)))-1, addresses), rand.New(rand.NewPCG(o.Seed, 0)))
	}
	return draw(false, t.IPv4), draw(true, t.IPv6)
}

// SinkCount is what a sink has taken in so far.
type SinkCount struct {
	Seconds   float64 `json:"seconds"`
	Packets   uint64  `json:"packets"`
	Bytes     uint64  `json:"bytes"` // of frames, without checksum
	IPv6      uint64  `json:"ipv6"`
	Rate      float64 `json:"rate"` // packets a second: of the last second, at the end of all
	Lost      uint64  `json:"lost"` // sequence numbers that have not come in, up to the greatest that has
	Repeated  uint64  `json:"repeated"`
	Reordered uint64  `json:"reordered"`
	Corrupt   uint64  `json:"corrupt"`
	Latency   *Times  `json:"latency,omitempty"` // nil: the generator's clock is another machine's
	Done      bool    `json:"done,omitempty"`
}

// Times are those that packets were under way, us.
type Times struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p99_9_us"`
	Max   float64 `json:"max_us"`
}

func times(h *traffic.Histogram) *Times {
	if h.Count() == 0 {
		return nil
	}
	us := func(share float64) float64 { return float64(h.Quantile(share).Nanoseconds()) / 1000 }
	return &Times{h.Count(), us(0.5), us(0.99), us(0.999), us(1)}
}

// SinkOptions say what a sink alone does.
type SinkOptions struct {
	Device  string
	Time    time.Duration // 0: no end
	Packets uint64        // end after so many; 0: no end
}

// Sink takes packets of a generator in until ctx ends, and tells each second what has come.
func Sink(ctx context.Context, o SinkOptions, tell func(SinkCount) error) error {
	if err := prepare(-1); err != nil {
		return err
	}
	link, err := netlink.LinkByName(o.Device)
	if err != nil {
		return fmt.Errorf("take packets in at %s: %w", o.Device, err)
	}
	s, err := traffic.NewSink(link.Attrs().Index, traffic.SinkOptions{Sequences: true, Latency: true, Jumbo: link.Attrs().MTU > 1500})
	if err != nil {
		return err
	}
	defer s.Close()
	if o.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Time)
		defer cancel()
	}
	begin := time.Now()
	count := func() (c SinkCount, err error) {
		got, err := s.Counts()
		if err != nil {
			return c, err
		}
		h, err := s.Latencies()
		return SinkCount{
			Seconds: time.Since(begin).Seconds(), Packets: got.Packets, Bytes: got.Bytes, IPv6: got.IPv6, Rate: got.Rate, Lost: got.Lost(),
			Repeated: got.Repeated, Reordered: got.Late, Corrupt: got.Corrupt, Latency: times(h),
		}, err
	}
	last, at := uint64(0), begin
	for tick := time.NewTicker(pollSink); ; {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		c, err := count()
		if err != nil {
			return err
		}
		if ctx.Err() != nil || o.Packets > 0 && c.Packets >= o.Packets {
			tick.Stop()
			c.Done = true
			return tell(c)
		}
		if since := time.Since(at); since >= time.Second {
			c.Rate = float64(c.Packets-last) / since.Seconds()
			last, at = c.Packets, time.Now()
			if err := tell(c); err != nil {
				return err
			}
		}
	}
}

const pollSink = 50 * time.Millisecond

// Internet returns the prefixes of the Internet's table.
func Internet() ([]netip.Prefix, error) {
	t, err := peer.Full()
	if err != nil {
		return nil, err
	}
	return slices.Concat(t.IPv4, t.IPv6), nil
}
