package soft

import (
	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
	"weft/fib"
)

// VectorSize is how many packets go through the stages together, at most.
const VectorSize = 256

// What is to be known of a packet that most do not have. Those that have it are looked at
// one by one (resolve.go).
const (
	toGroup    = 1 << iota // it was sent to a multicast or broadcast MAC
	hasPartial             // its L4 checksum is to be filled in yet
	uncounted              // the kernel has it and has counted it (tap.go)
	fills                  // it is, when the packet leaves: what Linux quotes of one that does not has not
)

// vector is packets on their way, and what stages tell each other of them: arrays by the
// packet's place, which is one byte, so that Go checks no bounds.
type vector struct {
	n       int
	packets [VectorSize]device.Descriptor // as they are now: tags and padding may have gone
	bytes   [VectorSize]uint32            // of frames as received
	reason  [VectorSize]dataplane.Reason
	flags   [VectorSize]uint8
	tags    [VectorSize]uint8 // how many were taken off
	tag     [VectorSize][packet.MaxTags]packet.Tag

	four family4
	six  family6

	group     [VectorSize]fib.GroupID // of those that came to a lookup
	adjacency [VectorSize]fib.AdjacencyID
	hash      [VectorSize]uint32

	// Those that do not leave by the fast way.
	exceptions [VectorSize]uint8
	ended      int
	seen       uint32 // flags of any of the ports
}

// run is packets in a row that are looked up in the same table.
type run struct {
	table fib.Table
	end   int
}

// family4 is the packets of a vector that are IPv4 and are looked up, packed.
type family4 struct {
	n     int
	index [VectorSize]uint8 // in the vector
	dst   [VectorSize]uint32
	ttl   [VectorSize]uint32 // the word that the TTL is in, as it lies in memory
	group [VectorSize]fib.GroupID
	runs  [VectorSize]run
	nRuns int
	vrf   uint32 // of the last run
}

// family6 is the same for IPv6.
type family6 struct {
	n     int
	index [VectorSize]uint8
	dst   [VectorSize]fib.Addr6
	group [VectorSize]fib.GroupID
	runs  [VectorSize]run
	nRuns int
	vrf   uint32
}

// begin makes room for n packets that are in v.packets.
func (v *vector) begin(n int) {
	v.n, v.ended, v.seen = n, 0, 0
	clear(v.reason[:])
	clear(v.flags[:])
	clear(v.tags[:])
	v.four.n, v.four.nRuns = 0, 0
	v.six.n, v.six.nRuns = 0, 0
}

// end ends a packet's way for a reason that is not Forwarded.
func (v *vector) end(i uint8, r dataplane.Reason) {
	v.reason[i] = r
	v.exceptions[uint8(v.ended)] = i
	v.ended++
}

// add has a packet looked up.
func (f *family4) add(i uint8, p *port, dst, ttl uint32) {
	if f.nRuns == 0 || p.vrf != f.vrf {
		f.begin(p)
	}
	k := uint8(f.n)
	f.index[k], f.dst[k], f.ttl[k] = i, dst, ttl
	f.n++
}

func (f *family4) begin(p *port) {
	if f.nRuns > 0 {
		f.runs[f.nRuns-1].end = f.n
	}
	f.runs[f.nRuns] = run{table: p.table}
	f.nRuns++
	f.vrf = p.vrf
}

func (f *family6) add(i uint8, p *port, dst fib.Addr6) {
	if f.nRuns == 0 || p.vrf != f.vrf {
		f.begin(p)
	}
	k := uint8(f.n)
	f.index[k], f.dst[k] = i, dst
	f.n++
}

func (f *family6) begin(p *port) {
	if f.nRuns > 0 {
		f.runs[f.nRuns-1].end = f.n
	}
	f.runs[f.nRuns] = run{table: p.table}
	f.nRuns++
	f.vrf = p.vrf
}

// endRuns says where the last runs end.
func (v *vector) endRuns() {
	if f := &v.four; f.nRuns > 0 {
		f.runs[f.nRuns-1].end = f.n
	}
	if f := &v.six; f.nRuns > 0 {
		f.runs[f.nRuns-1].end = f.n
	}
}
