package packet

import (
	"encoding/binary"
	"hash/crc32"
)

// Checksums left to hardware, as hosts on veths leave them: what stands in their place
// is the sum of the pseudo-header (CHECKSUM_PARTIAL of Linux's skbuff.h), in SCTP
// nothing yet (RFC 9260 6.8). A frame does not say so: one in 65,536 others, or of
// fragments, looks the same.

const (
	udpChecksumAt  = 6
	tcpChecksumAt  = 16
	sctpChecksumAt = 8
)

// IsPartial4 tells whether a packet's L4 checksum is to be filled in yet.
func IsPartial4(frame []byte) bool {
	p := IPv4(frame[EthernetLen:])
	return isPartial(frame[EthernetLen+IPv4Len:], p.Protocol(), pseudo4(p))
}

// IsPartial6 is IsPartial4 for IPv6.
func IsPartial6(frame []byte) bool {
	p := IPv6(frame[EthernetLen:])
	return isPartial(frame[EthernetLen+IPv6Len:], p.NextHeader(), pseudo6(p))
}

func pseudo4(p IPv4) uint64 {
	return Sum(p[12:20], uint64(swap16(p.Len()-IPv4Len))+uint64(p.Protocol())<<8)
}

func pseudo6(p IPv6) uint64 {
	return Sum(p[8:40], uint64(swap16(p.Len()-IPv6Len))+uint64(p.NextHeader())<<8)
}

func swap16(n int) int { return n&0xff<<8 | n>>8&0xff }

func isPartial(l4 []byte, protocol byte, pseudo uint64) bool {
	at := udpChecksumAt
	switch protocol {
	case protocolUDP:
	case protocolTCP:
		at = tcpChecksumAt
	case protocolSCTP:
		return len(l4) >= sctpChecksumAt+4 && binary.LittleEndian.Uint32(l4[sctpChecksumAt:]) == 0
	default:
		return false
	}
	// Both zeros of the ones' complement are the same.
	return len(l4) >= at+2 && Fold(pseudo)%0xffff == binary.LittleEndian.Uint16(l4[at:])%0xffff
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// FillChecksum4 fills in the L4 checksum of a frame for which IsPartial4 holds. Of a
// fragment it does not: the checksum is over all of the datagram.
func FillChecksum4(frame []byte) (ok bool) {
	p := IPv4(frame[EthernetLen:])
	end := min(len(frame), EthernetLen+p.Len())
	return !p.IsFragment() && fillChecksum(frame[EthernetLen+IPv4Len:end], p.Protocol(), pseudo4(p))
}

// FillChecksum6 is FillChecksum4 for IPv6.
func FillChecksum6(frame []byte) (ok bool) {
	p := IPv6(frame[EthernetLen:])
	end := min(len(frame), EthernetLen+p.Len())
	return fillChecksum(frame[EthernetLen+IPv6Len:end], p.NextHeader(), pseudo6(p))
}

func fillChecksum(l4 []byte, protocol byte, pseudo uint64) (ok bool) {
	at := udpChecksumAt
	switch protocol {
	case protocolUDP:
	case protocolTCP:
		at = tcpChecksumAt
	case protocolSCTP:
		if len(l4) < sctpChecksumAt+4 {
			return false
		}
		binary.LittleEndian.PutUint32(l4[sctpChecksumAt:], crc32.Checksum(l4, castagnoli))
		return true
	default:
		return false
	}
	if len(l4) < at+2 {
		return false
	}
	putChecksum(l4[at:], 0)
	sum := ^Fold(Sum(l4, pseudo))
	if sum == 0 && protocol == protocolUDP { // RFC 768: 0 stands for none
		sum = 0xffff
	}
	putChecksum(l4[at:], sum)
	return true
}
