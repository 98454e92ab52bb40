package traffic

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Sequences is how many sequence numbers, from 0 on, a Sink can tell apart.
const Sequences = int(generateTrafficLimitsTRAFFIC_SEQUENCES)

// Stretches is in how many parts of Sequences, of equal length, a Sink looks for order: each is for flows of its own.
const Stretches = int(generateTrafficLimitsTRAFFIC_STRETCHES)

// SinkOptions say what a Sink does besides counting. The zero value is the fastest.
type SinkOptions struct {
	Check bool    // look into each packet: for Missing, Last and all of Counts
	TTL   uint8   // that packets should arrive with; 0: any
	MAC   [6]byte // that they should be sent to; all 0: any
}

// Counts are what a Sink has taken in. Those after Bytes need SinkOptions.Check.
type Counts struct {
	Packets, Bytes     uint64 // of frames, from the Ethernet header on
	WrongTTL, WrongMAC uint64
	Corrupt            uint64 // without the magic number
	Repeated           uint64 // with a sequence number that was there before
	Unknown            uint64 // with one of Sequences or more
	Late               uint64 // behind one with a higher number of the same of Stretches

	// Rate is how many packets a second came in, from the first to the last. What a generator does before and after
	// does not count. It is exact to 1 packet in 1000 from 2^19 packets on.
	Rate float64
}

// Sink takes in at an interface what a Generator has made.
type Sink struct {
	coll *ebpf.Collection
	link link.Link
}

// NewSink attaches a Sink to an interface of the calling thread's network namespace, in its driver. On veth this gives
// the interface NAPI, too. Needs Linux 5.18.
func NewSink(ifindex int, o SinkOptions) (*Sink, error) {
	s := new(Sink)
	if err := s.open(ifindex, o); err != nil {
		s.Close()
		return nil, fmt.Errorf("make sink at ifindex %d: %w", ifindex, err)
	}
	return s, nil
}

func (s *Sink) open(ifindex int, o SinkOptions) error {
	spec, err := loadSink()
	if err != nil {
		return err
	}
	for name, v := range map[string]any{"check": o.Check, "want_ttl": o.TTL, "want_mac": o.MAC} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	if s.coll, err = ebpf.NewCollection(spec); err != nil {
		return err
	}
	s.link, err = link.AttachXDP(link.XDPOptions{
		Program: s.coll.Programs["sink"], Interface: ifindex, Flags: link.XDPDriverMode,
	})
	return err
}

// Close detaches the Sink.
func (s *Sink) Close() error {
	var err error
	if s.link != nil {
		err = s.link.Close()
	}
	if s.coll != nil {
		s.coll.Close()
	}
	return err
}

// Counts returns what has come in since NewSink or Reset.
func (s *Sink) Counts() (Counts, error) {
	var cpus [generateTrafficLimitsTRAFFIC_CPUS]sinkCount
	if err := s.coll.Variables["counts"].Get(&cpus); err != nil {
		return Counts{}, fmt.Errorf("read counts of sink: %w", err)
	}
	var sum Counts
	var timed, since, until uint64
	for _, c := range cpus {
		sum.Packets += c.Packets
		sum.Bytes += c.Bytes
		sum.WrongTTL += c.WrongTtl
		sum.WrongMAC += c.WrongMac
		sum.Corrupt += c.Corrupt
		sum.Repeated += c.Repeated
		sum.Unknown += c.Unknown
		sum.Late += c.Late
		if c.Since == 0 {
			continue
		}
		timed += c.UntilPackets - c.SincePackets
		until = max(until, c.Until)
		if since == 0 || c.Since < since {
			since = c.Since
		}
	}
	if until > since {
		sum.Rate = float64(timed) / time.Duration(until-since).Seconds()
	}
	return sum, nil
}

// settle is how long packets that are under way may take.
const settle = 2 * time.Millisecond

// Wait returns the counts when n packets have come in, or no other one for a while.
func (s *Sink) Wait(n uint64) (Counts, error) {
	before, err := s.Counts()
	for quiet := 0; err == nil && before.Packets < n && quiet < 25; {
		time.Sleep(settle)
		var c Counts
		c, err = s.Counts()
		if quiet++; c.Packets != before.Packets {
			quiet = 0
		}
		before = c
	}
	return before, err
}

// Reset forgets all counts and sequence numbers. Nothing may come in meanwhile.
func (s *Sink) Reset() error {
	err := s.coll.Variables["counts"].Set([generateTrafficLimitsTRAFFIC_CPUS]sinkCount{})
	if err == nil {
		err = s.coll.Variables["seen"].Set(make([]uint64, Sequences/64))
	}
	if err == nil {
		err = s.coll.Variables["highest"].Set([Stretches]uint64{})
	}
	if err != nil {
		return fmt.Errorf("reset sink: %w", err)
	}
	return nil
}

// Missing returns which of the n sequence numbers from first on have not come in.
func (s *Sink) Missing(first uint64, n int) ([]uint64, error) {
	if first+uint64(n) > uint64(Sequences) {
		return nil, fmt.Errorf("find missing packets: sequence number %d, want less than %d", first+uint64(n)-1, Sequences)
	}
	seen := make([]uint64, Sequences/64)
	if err := s.coll.Variables["seen"].Get(seen); err != nil {
		return nil, fmt.Errorf("find missing packets: %w", err)
	}
	var missing []uint64
	for q := first; q < first+uint64(n); q++ {
		if seen[q/64]&(1<<(q%64)) == 0 {
			missing = append(missing, q)
		}
	}
	return missing, nil
}

// Last returns the frame that has come in last. Nothing may come in meanwhile.
func (s *Sink) Last() ([]byte, error) {
	var size uint32
	err := s.coll.Variables["last_size"].Get(&size)
	frame := make([]byte, s.coll.Variables["last"].Size())
	if err == nil {
		err = s.coll.Variables["last"].Get(frame)
	}
	if err == nil && size == 0 {
		err = errors.New("none has come in, or the sink does not check")
	}
	if err != nil {
		return nil, fmt.Errorf("read last frame: %w", err)
	}
	return frame[:size], nil
}
