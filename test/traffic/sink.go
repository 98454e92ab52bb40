package traffic

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Sequences is how many sequence numbers in a row a Sink can tell apart.
const Sequences = int(generateTrafficLimitsTRAFFIC_SEQUENCES)

// Stretches is in how many parts of Sequences, of equal length, a Sink looks for order: each is for flows of its own.
const Stretches = int(generateTrafficLimitsTRAFFIC_STRETCHES)

// SinkOptions say what a Sink does besides counting. The zero value is the fastest.
type SinkOptions struct {
	Check     bool    // look into each packet: for all of Counts, and Last. It looks at sequence numbers then, too
	Sequences bool    // look at sequence numbers: for Missing, and Counts.Lost
	Latency   bool    // look at times: for Latencies
	Jumbo     bool    // take frames that do not fit into a page
	TTL       uint8   // that packets should arrive with; 0: any
	MAC       [6]byte // that they should be sent to; all 0: any
}

// Counts are what a Sink has taken in. Those from Marked on need SinkOptions.Sequences or Latency, WrongTTL and WrongMAC Check.
type Counts struct {
	Packets, Bytes     uint64 // of frames, from the Ethernet header on
	IPv6               uint64 // packets of it
	WrongTTL, WrongMAC uint64
	Marked             uint64 // with the magic number
	Corrupt            uint64 // without it, where there is room for it
	Repeated           uint64 // with a sequence number that was there before
	Late               uint64 // behind one with a higher number of the same of Stretches
	Foreign            uint64 // with the time of another machine's clock
	First, Next        uint64 // least sequence number, and the one behind the greatest

	// Rate is how many packets a second came in, from the first to the last. What a generator does before and after
	// does not count. It is exact to 1 packet in 1000 from 2^19 packets on.
	Rate float64
}

// Lost returns how many sequence numbers between the least and the greatest have not come in.
func (c *Counts) Lost() uint64 {
	if n := c.Marked - c.Repeated; c.Next-c.First > n {
		return c.Next - c.First - n
	}
	return 0
}

// Sink takes in at an interface what a Generator has made.
type Sink struct {
	options SinkOptions
	coll    *ebpf.Collection
	link    link.Link
}

// NewSink attaches a Sink to an interface of the calling thread's network namespace, in its driver. On veth this gives
// the interface NAPI, too. Needs Linux 5.18.
func NewSink(ifindex int, o SinkOptions) (*Sink, error) {
	o.Sequences = o.Sequences || o.Check
	s := &Sink{options: o}
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
	for name, v := range map[string]any{
		"check": o.Check, "sequences": o.Sequences, "latency": o.Latency, "jumbo": o.Jumbo, "want_ttl": o.TTL, "want_mac": o.MAC,
	} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	if o.Jumbo {
		spec.Programs["sink"].Flags |= unix.BPF_F_XDP_HAS_FRAGS
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
		sum.add(&c)
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

func (c *Counts) add(of *sinkCount) {
	c.Packets += of.Packets
	c.Bytes += of.Bytes
	c.IPv6 += of.Ipv6
	c.WrongTTL += of.WrongTtl
	c.WrongMAC += of.WrongMac
	c.Marked += of.Marked
	c.Corrupt += of.Corrupt
	c.Repeated += of.Repeated
	c.Late += of.Late
	c.Foreign += of.Foreign
	if of.Next > 0 && (c.Next == 0 || of.First < c.First) {
		c.First = of.First
	}
	c.Next = max(c.Next, of.Next)
}

// Latencies returns how long packets were under way that carried their time, since NewSink or Reset. The generator's
// machine must be this one.
func (s *Sink) Latencies() (*Histogram, error) {
	h := new(Histogram)
	if err := s.coll.Variables["latencies"].Get(&h.counts); err != nil {
		return nil, fmt.Errorf("read times of sink: %w", err)
	}
	return h, nil
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

// Reset forgets all counts, times and sequence numbers. Nothing may come in meanwhile.
func (s *Sink) Reset() error {
	err := s.coll.Variables["counts"].Set([generateTrafficLimitsTRAFFIC_CPUS]sinkCount{})
	if err == nil && s.options.Sequences {
		err = s.coll.Variables["seen"].Set(make([]byte, Sequences))
	}
	if err == nil {
		err = s.coll.Variables["highest"].Set([Stretches]uint64{})
	}
	if err == nil {
		err = s.coll.Variables["latencies"].Set([buckets]uint64{})
	}
	if err != nil {
		return fmt.Errorf("reset sink: %w", err)
	}
	return nil
}

// Missing returns which of the n sequence numbers from first on have not come in. Numbers that are Sequences or more
// behind the last one are forgotten.
func (s *Sink) Missing(first uint64, n int) ([]uint64, error) {
	if n > Sequences {
		return nil, fmt.Errorf("find missing packets: %d sequence numbers, want at most %d", n, Sequences)
	}
	seen := make([]byte, Sequences)
	if err := s.coll.Variables["seen"].Get(seen); err != nil {
		return nil, fmt.Errorf("find missing packets: %w", err)
	}
	var missing []uint64
	for q := first; q < first+uint64(n); q++ {
		if seen[q%uint64(Sequences)] != byte(1+q/uint64(Sequences)%255) {
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
