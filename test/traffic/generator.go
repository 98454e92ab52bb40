package traffic

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Limits of a Spec.
const (
	MinFrame        = 64
	MaxFrame        = int(generateTrafficLimitsTRAFFIC_FRAME)
	MaxDestinations = 1 << 20
)

// Spec says what packets a Generator makes, and where they go.
type Spec struct {
	Ifindex        int // of the calling thread's network namespace; on veth the packets come in at its peer
	SrcMAC, DstMAC [6]byte
	Src            netip.Addr
	Dst            []netip.Addr // of Src's family, in turns: a power of two of them, at most MaxDestinations
	FrameSize      int          // from the Ethernet header on, without checksum, bytes: 64 (also for 0) to 1514
	TTL            uint8        // 0: 64
	First          uint64       // sequence number of the first packet
}

func (s *Spec) check() error {
	switch n := len(s.Dst); {
	case !s.Src.IsValid() || s.Src.Is4In6():
		return fmt.Errorf("source %s is neither IPv4 nor IPv6", s.Src)
	case n == 0 || n&(n-1) != 0 || n > MaxDestinations:
		return fmt.Errorf("%d destinations, want a power of two up to %d", n, MaxDestinations)
	case s.FrameSize < MinFrame || s.FrameSize > MaxFrame:
		return fmt.Errorf("frames of %d bytes, want %d to %d", s.FrameSize, MinFrame, MaxFrame)
	}
	for _, d := range s.Dst {
		if d.BitLen() != s.Src.BitLen() {
			return fmt.Errorf("destination %s for source %s: they must be of one family", d, s.Src)
		}
	}
	return nil
}

// Generator makes packets. Its methods are safe for concurrent use.
type Generator struct {
	spec     Spec
	coll     *ebpf.Collection
	sequence *ebpf.Variable
	template []byte

	mu   sync.Mutex // guards the program: one run at a time
	sent atomic.Uint64
}

// NewGenerator makes a Generator; no packet goes out before Send. Needs Linux 5.18.
func NewGenerator(s Spec) (*Generator, error) {
	if s.FrameSize == 0 {
		s.FrameSize = MinFrame
	}
	if s.TTL == 0 {
		s.TTL = 64
	}
	g := &Generator{spec: s}
	err := s.check()
	if err == nil {
		err = g.load()
	}
	if err != nil {
		return nil, fmt.Errorf("make generator: %w", err)
	}
	return g, nil
}

func (g *Generator) load() error {
	s := &g.spec
	spec, err := loadGenerate()
	if err != nil {
		return err
	}
	f := newFrame(s)
	g.template = f.bytes
	family := uint32(4)
	if s.Src.Is6() {
		family = 6
	}
	for name, v := range map[string]any{
		"frame_size": uint32(s.FrameSize), "family": family, "dst_mask": uint32(len(s.Dst) - 1),
		"headers": f.headers(), "header_sum": f.headerSum(), "payload_sum": f.payloadSum(),
		"next_sequence": s.First,
	} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	m := spec.Maps["destinations"]
	m.MaxEntries, m.ValueSize = uint32(len(s.Dst)), uint32(s.Src.BitLen()/8)
	if g.coll, err = ebpf.NewCollection(spec); err != nil {
		return err
	}
	g.sequence = g.coll.Variables["next_sequence"]
	if err = g.fill(); err != nil {
		g.coll.Close()
	}
	return err
}

func (g *Generator) fill() error {
	if err := g.coll.Maps["wire"].Put(uint32(0), uint32(g.spec.Ifindex)); err != nil {
		return fmt.Errorf("send to ifindex %d: %w", g.spec.Ifindex, err)
	}
	keys := make([]uint32, len(g.spec.Dst))
	values := make([]byte, 0, len(keys)*g.spec.Src.BitLen()/8)
	for i, d := range g.spec.Dst {
		keys[i] = uint32(i)
		values = append(values, d.AsSlice()...)
	}
	var err error
	if g.spec.Src.Is4() {
		_, err = g.coll.Maps["destinations"].BatchUpdate(keys, chunks[[4]byte](values), nil)
	} else {
		_, err = g.coll.Maps["destinations"].BatchUpdate(keys, chunks[[16]byte](values), nil)
	}
	if err != nil {
		return fmt.Errorf("write destinations: %w", err)
	}
	return nil
}

func chunks[A [4]byte | [16]byte](b []byte) []A {
	var a A
	all := make([]A, len(b)/len(a))
	for i := range all {
		all[i] = A(b[i*len(a):])
	}
	return all
}

// Send makes n packets, as fast as they go, on the calling thread's CPU, and returns how many it made. Sequence numbers
// go on from call to call. A call takes some 25 ms even for one packet: figures want 2^20 or more.
//
// A packet that the interface does not take is lost, and not known here: a Sink tells.
func (g *Generator) Send(n int) (sent int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	first, err := g.next()
	for sent < n && err == nil {
		_, err = g.coll.Programs["generate"].Run(&ebpf.RunOptions{
			Data: g.template, Repeat: uint32(n - sent), Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES,
		})
		next, e := g.next()
		err = errors.Join(err, e)
		sent = int(next - first)
	}
	g.sent.Add(uint64(sent))
	if err != nil {
		return sent, fmt.Errorf("send packets: %w", err)
	}
	return sent, nil
}

func (g *Generator) next() (n uint64, err error) {
	err = g.sequence.Get(&n)
	return n, err
}

// Sent returns how many packets there have been: sequence numbers Spec.First up to, but not, Spec.First+Sent.
func (g *Generator) Sent() uint64 { return g.sent.Load() }

// paceEvery is how often Pace sends.
const paceEvery = 50 * time.Millisecond

// Pace sends perSecond packets a second, in bursts 50 ms apart, until ctx ends.
func (g *Generator) Pace(ctx context.Context, perSecond int) error {
	tick := time.NewTicker(paceEvery)
	defer tick.Stop()
	start, due := time.Now(), 0
	for {
		want := int(time.Since(start).Seconds() * float64(perSecond))
		if want > due {
			n, err := g.Send(want - due)
			if err != nil {
				return err
			}
			due += n
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Close ends the use of the Generator.
func (g *Generator) Close() { g.coll.Close() }

// Frame returns a packet as Send makes it, with its sequence number.
func (g *Generator) Frame(sequence uint64) []byte {
	f := newFrame(&g.spec)
	return f.packet(g.spec.Dst[sequence&uint64(len(g.spec.Dst)-1)], sequence)
}

// sourcePort is the twin of source_port in generate.c.
func sourcePort(sequence uint64) uint16 {
	hi, _ := bits.Mul64(sequence*0x9e3779b97f4a7c15, 1<<14)
	return 0xc000 | uint16(hi)
}

func put16(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }
