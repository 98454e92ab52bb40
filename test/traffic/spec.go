package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Limits of a Spec.
const (
	MinFrame        = 60 // the shortest of Ethernet, without checksum
	MinIPv6         = ethLen + ipv6Len + udpLen
	MaxFrame        = int(generateTrafficLimitsTRAFFIC_FRAME)
	MaxLive         = int(generateTrafficLimitsTRAFFIC_LIVE) // longer frames go through a socket, some 100,000 a second
	MaxDestinations = 1 << 20
	MaxPattern      = int(generateTrafficLimitsTRAFFIC_PATTERN)
	MaxFlows        = 1 << 14
)

// Kind is a size and a family of frames.
type Kind struct {
	Size int // from the Ethernet header on, without checksum, bytes
	IPv6 bool
}

// Spec says what packets a Generator makes, and where they go.
type Spec struct {
	Ifindex        int // of the calling thread's network namespace; on veth the packets come in at its peer
	SrcMAC, DstMAC [6]byte
	Src            netip.Addr
	Dst            []netip.Addr // of Src's family, in turns: a power of two of them, at most MaxDestinations
	FrameSize      int          // from the Ethernet header on, without checksum, bytes: 60 to 9014; 0: 64
	TTL            uint8        // 0: 64
	First          uint64       // sequence number of the first packet

	// Pattern is the kinds of frames, one after the other and again from the start; nil: frames of FrameSize, of Src's
	// family. Src6 and Dst6 are for frames of IPv6 in a pattern of both.
	Pattern []Kind
	Src6    netip.Addr
	Dst6    []netip.Addr

	Flows int // source ports: a power of two up to MaxFlows, which is also 0
	Stamp int // one packet of so many, a power of two, carries the time at which it was made; 0: none
}

// complete fills in what 0 stands for.
func (s *Spec) complete() {
	if s.FrameSize == 0 {
		s.FrameSize = 64
	}
	if s.TTL == 0 {
		s.TTL = 64
	}
	if s.Flows == 0 {
		s.Flows = MaxFlows
	}
	if s.Pattern == nil {
		s.Pattern = []Kind{{s.FrameSize, s.Src.Is6()}}
	}
}

func (s *Spec) check() error {
	if !s.Src.IsValid() || s.Src.Is4In6() {
		return fmt.Errorf("source %s is neither IPv4 nor IPv6", s.Src)
	}
	if !powerOfTwo(s.Flows) || s.Flows > MaxFlows {
		return fmt.Errorf("%d flows, want a power of two up to %d", s.Flows, MaxFlows)
	}
	if s.Stamp != 0 && !powerOfTwo(s.Stamp) {
		return fmt.Errorf("a time in one of %d packets, want a power of two", s.Stamp)
	}
	if err := checkDestinations(s.Src, s.Dst); err != nil {
		return err
	}
	if len(s.Pattern) > MaxPattern || len(s.kinds()) > int(generateTrafficLimitsTRAFFIC_KINDS) {
		return fmt.Errorf("%d kinds in a pattern of %d frames, want at most %d in %d",
			len(s.kinds()), len(s.Pattern), generateTrafficLimitsTRAFFIC_KINDS, MaxPattern)
	}
	for _, k := range s.kinds() {
		if err := s.checkKind(k); err != nil {
			return err
		}
	}
	return nil
}

func checkDestinations(src netip.Addr, dst []netip.Addr) error {
	if !powerOfTwo(len(dst)) || len(dst) > MaxDestinations {
		return fmt.Errorf("%d destinations, want a power of two up to %d", len(dst), MaxDestinations)
	}
	for _, d := range dst {
		if d.BitLen() != src.BitLen() {
			return fmt.Errorf("destination %s for source %s: they must be of one family", d, src)
		}
	}
	return nil
}

func (s *Spec) checkKind(k Kind) error {
	shortest := MinFrame
	if k.IPv6 {
		shortest = MinIPv6
	}
	several := len(s.kinds()) > 1
	switch {
	case k.Size < shortest || k.Size > MaxFrame:
		return fmt.Errorf("frames of %d bytes, want %d to %d", k.Size, shortest, MaxFrame)
	case several && k.IPv6 && k.Size < MinIPv6+markLen:
		return fmt.Errorf("frames of %d bytes in a pattern, want %d or more of IPv6: room for a sequence number", k.Size, MinIPv6+markLen)
	case several && k.Size < MinIPv6+markLen && k.Size%4 != 0:
		return fmt.Errorf("frames of %d bytes in a pattern, want a multiple of 4, or more than %d", k.Size, MinIPv6+markLen)
	case k.IPv6 && s.Src.Is4():
		if !s.Src6.Is6() {
			return errors.New("a pattern with IPv6, and no source for it")
		}
		return checkDestinations(s.Src6, s.Dst6)
	case !k.IPv6 && s.Src.Is6():
		return errors.New("a pattern with IPv4, and an IPv6 source: Src is for IPv4, Src6 for IPv6")
	}
	return nil
}

func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

// kinds returns the different ones of the pattern.
func (s *Spec) kinds() (all []Kind) {
	for _, k := range s.Pattern {
		if !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	return all
}

func (s *Spec) longest() (n int) {
	for _, k := range s.Pattern {
		n = max(n, k.Size)
	}
	return n
}

func (s *Spec) shortest() int {
	n := MaxFrame
	for _, k := range s.Pattern {
		n = min(n, k.Size)
	}
	return n
}

// source and destinations are those of a family.
func (s *Spec) source(v6 bool) netip.Addr {
	if v6 && s.Src.Is4() {
		return s.Src6
	}
	return s.Src
}

func (s *Spec) destinations(v6 bool) []netip.Addr {
	switch {
	case v6 == s.Src.Is6():
		return s.Dst
	case v6:
		return s.Dst6
	}
	return nil
}

// kindOf returns that of a packet.
func (s *Spec) kindOf(sequence uint64) Kind {
	return s.Pattern[(sequence-s.First)%uint64(len(s.Pattern))]
}

// Bytes returns how long the first n frames from a sequence number on are together.
func (s *Spec) bytes(first, n uint64) (all uint64) {
	length := uint64(len(s.Pattern))
	for _, k := range s.Pattern {
		all += uint64(k.Size)
	}
	all *= n / length
	for q := first + n/length*length; q < first+n; q++ {
		all += uint64(s.kindOf(q).Size)
	}
	return all
}
