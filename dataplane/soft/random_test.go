package soft

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"weft/dataplane/packet"
)

func random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// randomFrame is one that may come in by a port of the world, mostly right.
func randomFrame(r *rand.Rand, port byte) []byte {
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	payload := r.IntN(100)
	if r.IntN(8) == 0 {
		payload = 1300 + r.IntN(200)
	}
	var f []byte
	if r.IntN(2) == 0 {
		f = frame(port, pick("192.0.2.9", "198.51.100.9", "10.1.2.3", "192.0.2.77", "8.8.8.8"),
			pick("10.1.0.1", "10.2.0.1", "10.3.9.9", "10.4.0.1", "10.5.0.1", "10.6.0.1", "10.7.0.1", "192.0.2.1", "203.0.113.55", "9.9.9.9", "224.0.0.1"), payload)
		if r.IntN(4) == 0 {
			f[20] |= 0x40 // it may not be divided
		}
	} else {
		f = frame(port, pick("2001:db8:1::9", "2001:db8:200::1", "2001:db8:3::77", "fe80::1"),
			pick("2001:db8:100::1", "2001:db8:200::2", "2001:db8:300::3", "2001:db8:3::55", "2001:db8:1::1", "2001:db9::1", "ff02::1"), payload)
	}
	setTTL(f, []byte{0, 1, 2, 64, 64, 64, 255}[r.IntN(7)])
	switch r.IntN(12) {
	case 0:
		f[r.IntN(len(f))] ^= byte(1 + r.IntN(255))
	case 1:
		f = f[:r.IntN(len(f)+1)]
	case 2:
		f = append(f, make([]byte, r.IntN(40))...)
	case 3:
		tag := binary.BigEndian.AppendUint32(nil, packet.Type8021Q<<16|uint32(r.IntN(3))*100)
		f = append(append(append([]byte{}, f[:12]...), tag...), f[12:]...)
	}
	return f
}

// place says where a frame is, and what it is but for the identification of ICMP errors.
func place(port uint32, kernel bool, f []byte) string {
	if !kernel && len(f) > 34 && f[12] == 8 && f[13] == 0 && f[23] == 1 && f[15] == 0xc0 {
		f = append([]byte{}, f...)
		clear(f[18:20])
		clear(f[24:26])
	}
	return fmt.Sprint(port, kernel, fmt.Sprintf("%x", f))
}

// forgetHeld frees all packets that wait for a neighbor.
func (x *world) forgetHeld() {
	for i := range x.w.holds.sets {
		for j := range x.w.holds.sets[i] {
			if h := &x.w.holds.sets[i][j]; h.addr.IsValid() {
				packets, n := x.w.holds.forget(h)
				for _, p := range packets[:n] {
					x.pool.Put(p.packet.Address)
				}
			}
		}
	}
	for len(x.w.asks) > 0 {
		<-x.w.asks
	}
}
