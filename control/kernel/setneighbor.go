package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// ndaProtocol is NDA_PROTOCOL of linux/neighbour.h: who made an entry (Linux 5.0).
const ndaProtocol = 12

// SetNeighbor collects a neighbor: Link, Addr, MAC, State and Protocol.
func (w *Writer) SetNeighbor(n *Neighbor, how How) {
	w.begin(unix.RTM_NEWNEIGH, how)
	w.neighbor(n)
	w.bytes(unix.NDA_LLADDR, n.MAC[:])
	w.bytes(ndaProtocol, []byte{n.Protocol})
	w.end()
}

// DeleteNeighbor collects the end of a neighbor, named by Link and Addr, whoever
// has made it.
func (w *Writer) DeleteNeighbor(n *Neighbor) {
	w.begin(unix.RTM_DELNEIGH, nothing)
	w.neighbor(n)
	w.end()
}

// neighbor appends what a neighbor is told by.
func (w *Writer) neighbor(n *Neighbor) {
	// struct ndmsg: family, pads, ifindex, state, flags, type
	w.buf = append(w.buf, familyOf(n.Addr), 0, 0, 0)
	w.buf = binary.NativeEndian.AppendUint32(w.buf, uint32(n.Link))
	w.buf = binary.NativeEndian.AppendUint16(w.buf, n.State)
	w.buf = append(w.buf, 0, 0)
	w.address(unix.NDA_DST, n.Addr)
}

// bytes appends an attribute of any length.
func (w *Writer) bytes(kind uint16, value []byte) {
	end := w.open(kind)
	w.buf = append(w.buf, value...)
	end()
	for len(w.buf)%4 != 0 { // NLA_ALIGN; messages begin at multiples of 4
		w.buf = append(w.buf, 0)
	}
}
