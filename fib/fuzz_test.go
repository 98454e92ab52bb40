package fib

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
)

// FuzzOperations decodes changes from bytes, 8 each, and makes them beside the
// oracle, in an image small enough to get full.
func FuzzOperations(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 8, 1, 10, 0, 0, 0, 0, 0, 32, 2, 10, 1, 2, 3, 0, 2, 8, 0, 10, 0, 0, 0, 0})
	f.Add([]byte{1, 64, 1, 0x20, 0x01, 0, 0, 0, 1, 65, 2, 0x20, 0x01, 0, 0, 0x80, 1, 128, 3, 0x20, 0x01, 0, 0, 0x81, 3, 65, 0, 0x20, 0x01, 0, 0, 0x80})
	f.Add([]byte{0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 32, 3, 255, 255, 255, 255, 0, 1, 128, 4, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 0, 0, 0})
	var many []byte
	for i := range byte(255) {
		many = append(many, i&1, 20+i%13, 1+i%7, 10, i, i*3, i*5, i)
	}
	f.Add(many)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 8*2000 {
			return
		}
		im := newTestImage(t, MinSize, 20, Options{VRFs: 2, Compact: len(data)%2 == 1})
		tab := mustTable(t, im, 1)
		var m model
		for ; len(data) >= 8; data = data[8:] {
			op := data[:8]
			var p netip.Prefix
			if op[0]&1 == 0 {
				p, _ = netip.AddrFrom4([4]byte(op[3:7])).Prefix(int(op[1]) % 33)
			} else {
				var b [16]byte
				copy(b[:], op[3:5])
				binary.BigEndian.PutUint16(b[7:], binary.BigEndian.Uint16(op[5:]))
				b[15] = op[7]
				p, _ = netip.AddrFrom16(b).Prefix(int(op[1]) % 129)
			}
			if p.Addr().Is4In6() {
				continue
			}
			had, ok := m.Get(p)
			var err error
			switch op[0] >> 1 & 3 {
			case 1:
				if err = tab.Delete(p); err == nil {
					m.Delete(p)
				}
				full, gone := ok && errors.Is(err, ErrFull), !ok && errors.Is(err, ErrNoRoute)
				if ok != (err == nil) && !full && !gone {
					t.Fatalf("delete %s: %v, was there: %v", p, err, ok)
				}
			default:
				g := GroupID(1 + op[2]%20)
				if err = tab.Insert(p, g); err == nil {
					m.Insert(p, g)
				} else if !errors.Is(err, ErrFull) {
					t.Fatalf("insert %s: %v", p, err)
				}
			}
			if err != nil {
				if g, e := tab.Get(p); ok != (e == nil) || g != had {
					t.Fatalf("%s: %d, %v after %v", p, g, e, err)
				}
			}
			for _, a := range edges(p) {
				wantLookup(t, tab, a, m.lookup(a))
			}
		}
		check(t, tab, &m)
		checkOwners(t, im)
	})
}
