package fib

// The flow hash chooses a member of a group. BPF's fib_hash_ipv4 and
// fib_hash_ipv6 are its twins: the same packet goes the same way in every
// engine. All numbers are in host byte order. Packets that are fragments have
// ports 0, the first one included, so that all of a datagram go one way.

const (
	hashMul1 = 0x9e3779b97f4a7c15
	hashMul2 = 0xd6e8feb86659fd93
)

// mix takes one more word into a hash: a multiplication spreads it upward, the
// shift brings it down again.
func mix(h, word uint64) uint64 {
	h = (h ^ word) * hashMul1
	return h ^ h>>32
}

// FlowHash4 hashes an IPv4 flow. ports is source port << 16 | destination port.
func FlowHash4(src, dst, ports uint32, proto uint8, seed uint32) uint32 {
	h := mix(uint64(seed)*hashMul2, uint64(src)<<32|uint64(dst))
	h = mix(h, uint64(ports)<<8|uint64(proto))
	return uint32(h * hashMul2 >> 32)
}

// FlowHash6 hashes an IPv6 flow. label is the 20-bit flow label (RFC 6438).
func FlowHash6(src, dst Addr6, label, ports uint32, proto uint8, seed uint32) uint32 {
	h := mix(uint64(seed)*hashMul2, src.Hi)
	h = mix(h, src.Lo)
	h = mix(h, dst.Hi)
	h = mix(h, dst.Lo)
	h = mix(h, uint64(label)<<40|uint64(ports)<<8|uint64(proto))
	return uint32(h * hashMul2 >> 32)
}
