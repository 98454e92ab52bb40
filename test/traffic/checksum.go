package traffic

import "encoding/binary"

// Checksum is that of RFC 1071 over parts of even length, but for the last. It is 0 of
// what has its own in it, if that is right.
func Checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for len(b) > 0 {
			if len(b) == 1 {
				b = []byte{b[0], 0}
			}
			sum += uint32(binary.BigEndian.Uint16(b))
			b = b[2:]
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
