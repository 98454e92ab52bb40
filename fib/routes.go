package fib

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// routeStore finds the record of a route. The records are in the image, in
// pages, so that a new writer can start from them; the index is not.
type routeStore struct {
	im    *Image
	index []uint64 // open addressing: upper half of the hash << 32 | record + 1
	count int
	pages uint32   // in use
	free  []uint32 // records
}

// route is a record as Go sees it.
type route struct {
	key    key
	len    int
	group  uint32
	vrf    uint16
	family family
}

// hash gives eight neighbors of a length places in one cache line of the index, for
// tables are told, and deleted, in order.
func (r *route) hash() uint64 {
	k := r.key
	var last uint64 // bits of the prefix
	if r.len <= 64 {
		last = k.hi >> (64 - r.len) & 7
		k.hi ^= last << (64 - r.len)
	} else {
		last = k.lo >> (128 - r.len) & 7
		k.lo ^= last << (128 - r.len)
	}
	h := (k.hi ^ uint64(r.len)<<8 ^ uint64(r.vrf)<<16 ^ uint64(r.family)) * 0x9e3779b97f4a7c15
	h ^= bits.RotateLeft64(k.lo*0xc2b2ae3d27d4eb4f, 31)
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return (h^h>>32)&^7 ^ last ^ last<<32
}

func (r *route) tail() uint64 {
	f := tailIPv4
	if r.family == ipv6 {
		f = tailIPv6
	}
	return uint64(r.group)<<tailGroupShift | uint64(r.vrf)<<tailVRFShift | uint64(r.len)<<tailLenShift | f
}

// pageOff returns the offset of a page, 0 when there is none.
func (s *routeStore) pageOff(page uint32) uint32 {
	return s.im.load32(s.im.pages.at(page))
}

func (s *routeStore) off(record uint32) uint32 {
	return s.pageOff(record/pageRoutes) + record%pageRoutes*routeSize
}

// read decodes a record; ok is false for a free one.
func (s *routeStore) read(record uint32) (r route, ok bool) {
	off := s.off(record)
	tail := s.im.load64(off + routeTail)
	if tail == 0 {
		return route{}, false
	}
	b := s.im.mem[off : off+routeTail]
	r = route{
		key:   key{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])},
		len:   int(tail >> tailLenShift & 0xff),
		vrf:   uint16(tail >> tailVRFShift),
		group: uint32(tail >> tailGroupShift),
	}
	if tail&0xff == tailIPv6 {
		r.family = ipv6
	}
	return r, true
}

// find returns the record of the route with r's prefix and VRF, and its place
// in the index.
func (s *routeStore) find(r *route) (record uint32, at int, ok bool) {
	if len(s.index) == 0 {
		return 0, 0, false
	}
	h := r.hash()
	mask := len(s.index) - 1
	for at = int(h) & mask; ; at = (at + 1) & mask {
		e := s.index[at]
		if e == 0 {
			return 0, at, false
		}
		if e>>32 != h>>32 {
			continue
		}
		record = uint32(e) - 1
		if got, _ := s.read(record); got.key == r.key && got.len == r.len && got.vrf == r.vrf && got.family == r.family {
			return record, at, true
		}
	}
}

// reserve makes sure that one more record can be had.
func (s *routeStore) reserve() error {
	if len(s.free) > 0 {
		return nil
	}
	im := s.im
	if s.pages == im.pages.count {
		if err := im.growTable(&im.pages, 2*im.pages.count); err != nil {
			return err
		}
	}
	b, err := im.allocate(orderFor(pageSize))
	if err != nil {
		return err
	}
	for i := uint32(0); i < pageSize; i += 8 {
		im.put64(b.offset()+i, 0)
	}
	// gofail: var fibPageCleared struct{}
	im.store32(im.pages.at(s.pages), b.offset())
	s.addFree(s.pages)
	s.pages++
	return nil
}

// addFree counts the free records of a page in.
func (s *routeStore) addFree(page uint32) {
	for i := pageRoutes; i > 0; i-- {
		if record := page*pageRoutes + i - 1; s.im.load64(s.off(record)+routeTail) == 0 {
			s.free = append(s.free, record)
		}
	}
}

// add writes a record that was reserved. Its last store makes it valid.
func (s *routeStore) add(r *route) {
	record := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	off := s.off(record)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], r.key.hi)
	binary.BigEndian.PutUint64(b[8:], r.key.lo)
	s.im.put64(off, binary.NativeEndian.Uint64(b[:]))
	s.im.put64(off+8, binary.NativeEndian.Uint64(b[8:]))
	s.im.store64(off+routeTail, r.tail())
	s.enter(r, record)
}

// enter puts a record into the index.
func (s *routeStore) enter(r *route, record uint32) {
	s.expect(1)
	s.count++
	s.place(r.hash(), record)
}

// indexSize returns the size of an index for n records: a power of two that
// leaves three places in eight free.
func indexSize(n int) int { return max(64, 1<<bits.Len(uint(n*8/5))) }

func (s *routeStore) place(h uint64, record uint32) {
	mask := len(s.index) - 1
	at := int(h) & mask
	for s.index[at] != 0 {
		at = (at + 1) & mask
	}
	s.index[at] = h>>32<<32 | uint64(record+1)
}

// expect makes the index large enough for n more records.
func (s *routeStore) expect(n int) {
	if size := indexSize(s.count + n); size > len(s.index) {
		s.resize(size)
	}
}

func (s *routeStore) resize(n int) {
	old := s.index
	s.index = make([]uint64, n)
	for _, e := range old {
		if e != 0 {
			r, _ := s.read(uint32(e) - 1)
			s.place(r.hash(), uint32(e)-1)
		}
	}
}

// setGroup changes the group of a record.
func (s *routeStore) setGroup(record uint32, r *route) {
	s.im.store64(s.off(record)+routeTail, r.tail())
}

// remove frees a record, found at the given place in the index.
func (s *routeStore) remove(record uint32, at int) {
	s.im.store64(s.off(record)+routeTail, 0)
	s.free = append(s.free, record)
	s.count--
	// Close the gap: an entry moves back unless it is between its home and the gap.
	mask := len(s.index) - 1
	gap := at
	for at = (at + 1) & mask; s.index[at] != 0; at = (at + 1) & mask {
		r, _ := s.read(uint32(s.index[at]) - 1)
		if home := int(r.hash()) & mask; (at-home)&mask >= (at-gap)&mask {
			s.index[gap] = s.index[at]
			gap = at
		}
	}
	s.index[gap] = 0
}

// parent returns the longest installed route that covers r's prefix and is
// shorter; its group is 0 when there is none.
func (s *routeStore) parent(r *route, lengths []uint32) route {
	p := *r
	for p.len--; p.len >= 0; p.len-- {
		if lengths[p.len] == 0 {
			continue
		}
		p.key = r.key.first(p.len)
		if record, _, ok := s.find(&p); ok {
			p, _ = s.read(record)
			return p
		}
	}
	return route{}
}

// all calls yield for each route of the image until it returns false.
func (s *routeStore) all(yield func(record uint32, r route) bool) {
	for record := range s.pages * pageRoutes {
		if r, ok := s.read(record); ok && !yield(record, r) {
			return
		}
	}
}

func (r *route) String() string { return fmt.Sprintf("%s/%d", r.key.addr(r.family), r.len) }
