package afpacket

import (
	"encoding/binary"
	"hash/crc32"
)

// Where checksums stand, which a protocol is known by.
const (
	udpChecksum  = 6
	sctpChecksum = 8 // the only one that is a CRC (RFC 9260 6.8)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fillChecksum makes the checksum of what is behind start, where the sum of the pseudo-header stands already.
func fillChecksum(packet []byte, start, offset int) {
	if start+offset+2 > len(packet) {
		return // the kernel does not do that
	}
	at := packet[start+offset:]
	if offset == sctpChecksum {
		if len(at) < 4 {
			return
		}
		clear(at[:4])
		binary.LittleEndian.PutUint32(at, crc32.Checksum(packet[start:], castagnoli))
		return
	}
	sum := ^fold(packet[start:])
	if sum == 0 && offset == udpChecksum {
		sum = 0xffff // 0 is none (RFC 768)
	}
	binary.BigEndian.PutUint16(at, sum)
}

// fold is the ones' complement sum of RFC 1071.
func fold(b []byte) uint16 {
	var sum uint64
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
