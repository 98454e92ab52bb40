package fib

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"math/rand/v2"
	"testing"
)

func TestOpenEqualsWhatWasWritten(t *testing.T) {
	for _, opts := range []Options{{}, {Compact: true}, {VRFs: 41, HashSeed: 77}} {
		r := seed(t)
		im := richImage(t, r, 2<<20, 3000, opts)
		mem := bytes.Clone(im.mem)
		again, err := Open(mem, Options{Compact: opts.Compact, HashSeed: 1, VRFs: 9})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mem, im.mem) {
			t.Error("opening an image that is whole wrote to it")
		}
		if d := contentsOf(again).differs(contentsOf(im)); d != "" {
			t.Fatalf("opened image differs in %s", d)
		}
		if again.alloc.used != im.alloc.used || again.vrfs != im.vrfs {
			t.Errorf("%d units used, %d VRFs, want %d and %d", again.alloc.used, again.vrfs, im.alloc.used, im.vrfs)
		}
		for id := range im.Groups() {
			if again.GroupUse(id) != im.GroupUse(id) {
				t.Errorf("group %d: used by %d, want %d", id, again.GroupUse(id), im.GroupUse(id))
			}
		}
		for id := range AdjacencyID(im.adjacencies.count) {
			if again.adjacencyUse[id] != im.adjacencyUse[id] {
				t.Errorf("adjacency %d: used by %d, want %d", id, again.adjacencyUse[id], im.adjacencyUse[id])
			}
		}
		checkLookups(t, again)
		checkOwners(t, again)
		var m model
		for at, g := range contentsOf(again).routes {
			if at.vrf == 40 {
				m.Insert(at.prefix, g)
			}
		}
		randomChanges(t, r, mustTable(t, again, 40), &m, []GroupID{1, 2, 4, 5}, rounds(2000))
		check(t, mustTable(t, again, 40), &m)
		checkOwners(t, again)
	}
}

func TestOpenRefuses(t *testing.T) {
	im := richImage(t, rand.New(rand.NewPCG(1, 1)), 1<<20, 300, Options{})
	put64 := func(at uint32, f func(uint64) uint64) func([]byte) []byte {
		return func(mem []byte) []byte {
			binary.NativeEndian.PutUint64(mem[at:], f(binary.NativeEndian.Uint64(mem[at:])))
			return mem
		}
	}
	to := func(v uint64) func(uint64) uint64 { return func(uint64) uint64 { return v } }
	for _, c := range []struct {
		name string
		do   func([]byte) []byte
		is   error
		text string
	}{
		{"zero memory", func(mem []byte) []byte { clear(mem); return mem }, ErrNotImage, "0x0"},
		{"something else", put64(offMagic, to(0x7f454c46)), ErrNotImage, "0x7f454c46"},
		{"foreign byte order", put64(offMagic, bits.ReverseBytes64), ErrByteOrder, "byte order"},
		{"other version", func(mem []byte) []byte { mem[offVersion]++; return mem }, ErrVersion, "3, this program writes 2"},
		{"mapped in part", func(mem []byte) []byte { return mem[:512<<10] }, ErrTruncated, "524288 bytes of 1048576"},
		{"one byte missing", func(mem []byte) []byte { return mem[:len(mem)-1] }, ErrTruncated, "1048575 bytes of 1048576"},
		{"header in part", func(mem []byte) []byte { return mem[:100] }, ErrTruncated, "100 bytes"},
		{"nothing", func([]byte) []byte { return nil }, ErrTruncated, "0 bytes"},
		{"size 0", put64(offSize, to(0)), ErrSize, "0 bytes"},
		{"size below the least", put64(offSize, to(4096)), ErrSize, "4096 bytes"},
		{"size no multiple of a page", put64(offSize, to(1<<20-8)), ErrSize, "multiple of 4096"},
		{"size beyond all memory", put64(offSize, to(1<<63)), ErrTruncated, ""},
		{"no VRFs", put64(offVRFs, to(0)), ErrCorrupt, ""},
		{"more VRFs than there can be", put64(offVRFs, to(1<<32)), ErrCorrupt, ""},
		{"groups outside", put64(offGroups, to(1<<20<<32|256)), ErrCorrupt, ""},
		{"groups of no length", put64(offGroups, func(v uint64) uint64 { return v >> 32 << 32 }), ErrCorrupt, ""},
		{"groups over the adjacencies", func(mem []byte) []byte {
			copy(mem[offGroups:offGroups+8], mem[offAdjacencies:])
			return mem
		}, ErrCorrupt, ""},
		{"pages of huge length", put64(offPages, func(v uint64) uint64 { return v | 1<<32 - 1 }), ErrCorrupt, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := c.do(bytes.Clone(im.mem))
			before := bytes.Clone(mem)
			again, err := Open(mem, Options{})
			if again != nil {
				t.Error("it opened")
			}
			wantError(t, err, c.is, "open image", c.text)
			if !bytes.Equal(mem, before) {
				t.Error("Open wrote to what it refuses")
			}
		})
	}
	t.Run("not aligned", func(t *testing.T) {
		mem := make([]byte, len(im.mem)+8)
		copy(mem[4:], im.mem)
		_, err := Open(mem[4:4+len(im.mem)], Options{})
		wantError(t, err, ErrSize, "aligned")
	})
	t.Run("more memory than the image", func(t *testing.T) {
		again, err := Open(append(bytes.Clone(im.mem), make([]byte, 1<<20)...), Options{})
		if err != nil || again.Size() != 1<<20 {
			t.Fatalf("%v", err)
		}
	})
}

// openCorrupt opens what may be damaged: it must not panic or hang, and what it
// takes for an image must then be one in every respect.
func openCorrupt(t testing.TB, mem []byte) (opened bool) {
	t.Helper()
	before := bytes.Clone(mem)
	im, err := Open(mem, Options{})
	if err != nil {
		for _, is := range []error{ErrCorrupt, ErrNotImage, ErrByteOrder, ErrVersion, ErrTruncated, ErrSize, ErrFull} {
			if errors.Is(err, is) {
				if !errors.Is(is, ErrFull) && !bytes.Equal(mem, before) {
					t.Fatalf("Open wrote to what it refuses: %v", err)
				}
				return false
			}
		}
		t.Fatalf("an error of no known kind: %v", err)
	}
	c := contentsOf(im)
	for id, g := range c.groups {
		if err := im.checkGroup(&g); err != nil {
			t.Fatalf("group %d: %v", id, err)
		}
		for h := range uint32(64) {
			if n := im.Next(id, h<<26); n.Kind == Forward && !im.hasAdjacency(n.Adjacency) {
				t.Fatalf("group %d leads to adjacency %d", id, n.Adjacency)
			}
		}
	}
	for id, a := range c.adjacencies {
		if err := a.check(); err != nil {
			t.Fatalf("adjacency %d: %v", id, err)
		}
	}
	n := 0
	im.routes.all(func(uint32, route) bool { n++; return true })
	if n != len(c.routes) {
		t.Fatalf("%d records, %d different routes", n, len(c.routes))
	}
	checkLookups(t, im)
	checkOwners(t, im)
	// It can be changed: all routes go, and come back.
	for at := range c.routes {
		if err := (Table{im, at.vrf}).Delete(at.prefix); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	checkLookups(t, im)
	for at, g := range c.routes {
		if err := (Table{im, at.vrf}).Insert(at.prefix, g); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	checkLookups(t, im)
	checkOwners(t, im)
	return true
}

// smallImage has every kind of node, group and adjacency in as few bytes as
// there can be, so that random damage meets something.
func smallImage(t testing.TB) *Image {
	t.Helper()
	im := richImage(t, rand.New(rand.NewPCG(7, 7)), 128<<10, 60, Options{VRFs: 41})
	tab := mustTable(t, im, 2)
	mustInsert(t, tab, 1, "10.0.0.0/8", "10.0.0.0/28", "10.0.0.8/29", "10.1.2.3/32", "2001:db8::/32", "2001:db8::1/128", "2001:db8:0:0:8000::/65")
	mustInsert(t, tab, 2, "10.200.0.0/13", "10.9.8.7/32", "2001:db8:1::/48", "2001:db8:0:0:8000::/66")
	return im
}

// usedWords returns the offsets of 32-bit words that something lies in.
func usedWords(im *Image) []uint32 {
	linked := newImage(im.mem, im.opts)
	s := survey{im: linked, seen: make([]uint64, (linked.alloc.units+63)/64)}
	if err := s.run(); err != nil {
		panic(err)
	}
	var words []uint32
	for unit := range linked.alloc.units {
		if s.seen[unit>>6]&(1<<(unit&63)) != 0 {
			for off := unit * uint32(unitSize); off < (unit+1)*uint32(unitSize); off += 4 {
				words = append(words, off)
			}
		}
	}
	return words
}

func TestOpenCorrupt(t *testing.T) {
	r := seed(t)
	im := smallImage(t)
	words := usedWords(im)
	opened, refused := 0, 0
	for range rounds(1500) {
		mem := bytes.Clone(im.mem)
		for range 1 + r.IntN(2) {
			at := words[r.IntN(len(words))]
			v := binary.NativeEndian.Uint32(mem[at:])
			if v == 0 && r.IntN(8) > 0 { // most are, and most of those matter little
				continue
			}
			switch r.IntN(5) {
			case 0:
				v = r.Uint32()
			case 1:
				v ^= 1 << r.IntN(32)
			case 2:
				v += uint32(r.IntN(64)) - 32
			case 3:
				v = binary.NativeEndian.Uint32(mem[words[r.IntN(len(words))]:])
			case 4:
				mem[at+uint32(r.IntN(4))] = byte(r.Uint32())
				continue
			}
			binary.NativeEndian.PutUint32(mem[at:], v)
		}
		if openCorrupt(t, mem) {
			opened++
		} else {
			refused++
		}
	}
	t.Logf("opened %d, refused %d", opened, refused)
	if opened == 0 || refused == 0 {
		t.Errorf("opened %d, refused %d: want some of both", opened, refused)
	}
}

// FuzzOpen damages an image at the places that the bytes name.
func FuzzOpen(f *testing.F) {
	im := smallImage(f)
	words := usedWords(im)
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 2, 3, 4})
	f.Add([]byte{10, 0, 0xff, 0xff, 0xff, 0xff, 12, 0, 0, 0, 0, 0})
	for _, header := range []byte{2, 4, 8, 10, 12, 14} {
		f.Add([]byte{header, 0, 0xff, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		mem := bytes.Clone(im.mem)
		for ; len(data) >= 6; data = data[6:] {
			at := words[int(binary.LittleEndian.Uint16(data))%len(words)]
			copy(mem[at:at+4], data[2:6])
		}
		openCorrupt(t, mem)
	})
}
