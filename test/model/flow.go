package model

import "encoding/binary"

// l4Ports are the source and destination port of a flow, 0 for protocols without and
// where they are cut off.
func l4Ports(p *packet) uint32 {
	switch p.protocol {
	case 6, 17, 33, 132, 136: // TCP, UDP, DCCP, SCTP, UDP-Lite
		if len(p.frame) >= p.l4+4 {
			return binary.BigEndian.Uint32(p.frame[p.l4:])
		}
	}
	return 0
}

// choose is RFC 2992: each hop has a stretch of the hash space as long as its weight,
// rounded to buckets. Buckets are a power of two, as few as bring each hop within
// 1 % of its share, if 2^16 do.
func choose(hops []Hop, flow uint32) Hop {
	hops = merged(hops)
	if len(hops) == 1 {
		return hops[0]
	}
	log := 1
	for log < 16 && !fair(hops, 1<<log) {
		log++
	}
	bucket := int(flow >> (32 - log))
	for i, n := range stretches(hops, 1<<log) {
		if bucket -= n; bucket < 0 {
			return hops[i]
		}
	}
	panic("stretches do not cover the hash space")
}

// merged adds up the weights of hops that are the same.
func merged(hops []Hop) (m []Hop) {
next:
	for _, h := range hops {
		for i := range m {
			if m[i].Gateway == h.Gateway && m[i].Port == h.Port {
				m[i].Weight += h.Weight
				continue next
			}
		}
		m = append(m, h)
	}
	return m
}

// stretches divides n buckets by weight: each hop ends at the bucket nearest to where
// its weight ends, but has one at least. The largest makes up for those.
func stretches(hops []Hop, n int) []int {
	total, end, given, largest := weights(hops), 0, 0, 0
	s := make([]int, len(hops))
	for i, h := range hops {
		end += h.Weight
		s[i] = max(1, (2*end*n+total)/(2*total)-given)
		given += s[i]
		if s[i] > s[largest] {
			largest = i
		}
	}
	s[largest] += n - given
	return s
}

func weights(hops []Hop) (total int) {
	for _, h := range hops {
		total += h.Weight
	}
	return total
}

func fair(hops []Hop, n int) bool {
	if n < len(hops) {
		return false
	}
	total := weights(hops)
	for i, s := range stretches(hops, n) {
		// 100 |s/n - weight/total| <= weight/total
		if d := 100 * (s*total - hops[i].Weight*n); max(d, -d) > hops[i].Weight*n {
			return false
		}
	}
	return true
}
