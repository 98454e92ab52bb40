package packet

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds the 16-bit words of b to a sum: RFC 1071. Words are taken as they lie in the
// memory of a little-endian machine; so is the sum, by which its order does not matter
// (RFC 1071 2.B). b begins at an even byte of what is summed up.
func Sum(b []byte, sum uint64) uint64 {
	var carry uint64
	for len(b) >= 32 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), 0)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[24:]), carry)
		sum += carry // it was not all ones, after a carry
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), 0)
		sum += carry
		b = b[8:]
	}
	var rest uint64
	for i, v := range b {
		rest |= uint64(v) << (8 * i)
	}
	sum, carry = bits.Add64(sum, rest, 0)
	return sum + carry
}

// Fold makes a sum of 64 bits one of 16.
func Fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}

// Checksum is the Internet checksum of b, as it lies in memory: 0 if b has its right one.
func Checksum(b []byte) uint16 { return ^Fold(Sum(b, 0)) }

func putChecksum(b []byte, sum uint16) { binary.LittleEndian.PutUint16(b, sum) }

// IsRight tells whether a sum of 32-bit words, of which at least one is not zero, folds
// to 0xffff, as it does when a header's checksum is right. The product's top half is the
// fold: the sum of the four 16-bit parts, when that is 0xffff. sum is below 2^48.
func IsRight(sum uint64) bool { return sum*0x0001000100010001>>48 == 0xffff }

// DecrementTTL takes the word of an IPv4 header from the TTL on, as a little-endian
// machine loads it (TTL 7..0, checksum 31..16), and decreases the TTL, which is at least
// 2, and with it the checksum: RFC 1624 (3) for a change of one word by -0x0100.
func DecrementTTL(word uint32) uint32 {
	// The sum has an end-around carry.
	_, carry := bits.Sub32(0xfffe0000, word, 0)
	return word + carry<<16 + (1<<16 - 1)
}
