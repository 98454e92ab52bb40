package traffic

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
)

// Generator makes packets. Its methods are safe for concurrent use.
type Generator struct {
	spec     Spec
	coll     *ebpf.Collection
	sequence *ebpf.Variable
	template []byte

	mu sync.Mutex // guards the program: one run at a time
}

// NewGenerator makes a Generator; no packet goes out before Send or Run. Needs Linux 5.18.
func NewGenerator(s Spec) (*Generator, error) {
	s.complete()
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

// templates returns the kinds as the program has them, and the longest frame.
func (s *Spec) templates() (all [generateTrafficLimitsTRAFFIC_KINDS]generateKind, longest []byte) {
	for i, k := range s.kinds() {
		f := newFrame(s, k)
		all[i] = generateKind{Headers: f.headers(), HeaderSum: f.headerSum(), PayloadSum: f.payloadSum(), Size: uint32(k.Size), Family: 4}
		if k.IPv6 {
			all[i].Family = 6
		}
		if len(f.bytes) > len(longest) {
			longest = f.bytes
		}
	}
	return all, longest
}

func (s *Spec) pattern() (p [generateTrafficLimitsTRAFFIC_PATTERN]uint8) {
	kinds := s.kinds()
	for i, k := range s.Pattern {
		p[i] = uint8(slices.Index(kinds, k))
	}
	return p
}

// filler is what a frame has from the end of an IPv4 packet's mark to the end of an IPv6 packet's.
func filler() (words [5]uint32) {
	at := ethLen + ipv4Len + udpLen + markLen
	for i := range words {
		for b := range 4 {
			words[i] |= uint32(at+4*i+b) << (8 * b)
		}
	}
	return words
}

func (g *Generator) load() error {
	s := &g.spec
	spec, err := loadGenerate()
	if err != nil {
		return err
	}
	kinds, longest := s.templates()
	g.template = longest
	dst4, dst6 := s.destinations(false), s.destinations(true)
	mixed := slices.ContainsFunc(s.Pattern, func(k Kind) bool { return k.IPv6 != s.Pattern[0].IPv6 })
	patternLen := len(s.Pattern)
	if len(s.kinds()) == 1 {
		patternLen = 1
	}
	for name, v := range map[string]any{
		"kinds": kinds, "pattern": s.pattern(), "pattern_len": uint32(patternLen),
		"longest": uint32(s.longest()), "shortest": uint32(s.shortest()), "mixed": mixed, "filler": filler(),
		"dst4_mask": uint32(max(1, len(dst4)) - 1), "dst6_mask": uint32(max(1, len(dst6)) - 1),
		"port_mask": uint32(s.Flows - 1), "stamps": s.Stamp > 0, "stamp_mask": uint64(max(1, s.Stamp) - 1),
		"next_sequence": s.First,
	} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	spec.Maps["destinations4"].MaxEntries = uint32(max(1, len(dst4)))
	spec.Maps["destinations6"].MaxEntries = uint32(max(1, len(dst6)))
	if g.coll, err = ebpf.NewCollection(spec); err != nil {
		return err
	}
	g.sequence = g.coll.Variables["next_sequence"]
	if err = g.fill(dst4, dst6); err != nil {
		g.coll.Close()
	}
	return err
}

func (g *Generator) fill(dst4, dst6 []netip.Addr) error {
	if err := g.coll.Maps["wire"].Put(uint32(0), uint32(g.spec.Ifindex)); err != nil {
		return fmt.Errorf("send to ifindex %d: %w", g.spec.Ifindex, err)
	}
	values4, values6 := make([][4]byte, len(dst4)), make([][16]byte, len(dst6))
	for i, d := range dst4 {
		values4[i] = d.As4()
	}
	for i, d := range dst6 {
		values6[i] = d.As16()
	}
	err := write(g.coll.Maps["destinations4"], values4)
	if err == nil {
		err = write(g.coll.Maps["destinations6"], values6)
	}
	if err != nil {
		return fmt.Errorf("write destinations: %w", err)
	}
	return nil
}

func write[A any](m *ebpf.Map, values []A) error {
	if len(values) == 0 {
		return nil
	}
	keys := make([]uint32, len(values))
	for i := range keys {
		keys[i] = uint32(i)
	}
	_, err := m.BatchUpdate(keys, values, nil)
	return err
}

// Send makes n packets, as fast as they go, on the calling thread's CPU, and returns how many it made. Sequence numbers
// go on from call to call. A call takes some 25 ms even for one packet: figures want 2^20 or more.
//
// A packet that the interface does not take is lost, and not known here: a Sink tells.
func (g *Generator) Send(n int) (sent int, err error) {
	r, err := g.Run(context.Background(), Load{Packets: uint64(n)})
	return int(r.Packets), err
}

func (g *Generator) next() (n uint64, err error) {
	err = g.sequence.Get(&n)
	return n, err
}

// Sent returns how many packets there have been so far: sequence numbers Spec.First up to, but not, Spec.First+Sent.
func (g *Generator) Sent() uint64 {
	n, err := g.next()
	if err != nil {
		return 0 // it is in memory that is there until Close
	}
	return n - g.spec.First
}

// paceEvery is how often Pace sends.
const paceEvery = 50 * time.Millisecond

// Pace sends perSecond packets a second, in bursts 50 ms apart, until ctx ends: it leaves the CPU to others in between,
// which Run does not.
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

// Frame returns a packet as Send makes it, with its sequence number, and without a time.
func (g *Generator) Frame(sequence uint64) []byte { return g.frame(sequence, 0) }

func (g *Generator) frame(sequence, stamp uint64) []byte {
	k := g.spec.kindOf(sequence)
	dst := g.spec.destinations(k.IPv6)
	return newFrame(&g.spec, k).packet(dst[sequence&uint64(len(dst)-1)], sequence, stamp, g.spec.Flows)
}

// sourcePort is the twin of source_port in generate.c.
func sourcePort(sequence uint64, ports int) uint16 {
	hi, _ := bits.Mul64(sequence*0x9e3779b97f4a7c15, 1<<14)
	return 0xc000 | uint16(hi)&uint16(ports-1)
}

func put16(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }
