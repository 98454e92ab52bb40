package rib

// lengths counts the prefixes of each length, by VRF and family.
type lengths [][2][129]int32

func (l lengths) has(k key, bits uint8) bool {
	return int(k.vrf) < len(l) && l[k.vrf][k.family/6][bits] > 0
}

func (l *lengths) add(k key, n int32) {
	for int(k.vrf) >= len(*l) {
		*l = append(*l, [2][129]int32{})
	}
	(*l)[k.vrf][k.family/6][k.bits] += n
}
