package trace

import (
	"encoding/binary"
	"slices"
	"time"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/filter"
)

// SnapMost is how many bytes of a frame may be kept.
const SnapMost = bpf.SnapMost

// Selection says which packets are wanted. The zero value wants all.
type Selection struct {
	Filter  *filter.Filter     // nil: all
	Reasons []dataplane.Reason // none: all
	Port    uint32             // they come in by, or the port at its root; 0: any
	Engine  *dataplane.Name    // nil: both
	Count   uint64             // so many; 0: without end
	Snap    int                // bytes of a frame to keep; 0: SnapMost, which is the most
}

// Record is a packet and what became of it. It is its reader's.
type Record struct {
	Time   time.Time
	Engine dataplane.Name // whose decision it is
	Root   uint32         // number of the port that the frame came in by: Result.Ingress, or that at the root of a VLAN
	Frame  []byte         // as received, as much as was to be kept
	Bytes  int            // of it as received

	// What was decided. Its Packet is the frame as it leaves, as much as was kept, or as received if it does not
	// leave. Took is 0.
	dataplane.Result
	SentBytes int // of Packet, if nothing were cut off

	Loop *Loop // what the loop did besides; nil: it was not the loop's
}

// Loop is what the loop tells of a packet besides the Result.
type Loop struct {
	Slow    bool // it was not as most packets are: looked at step by step
	Partial bool // a host has left its checksum to hardware
	Again   bool // it was held, and goes on now
	Tags    int  // that were taken off
	Fates   []string
	Sent    []Sent // frames that were made for it: an ICMP error, fragments
}

// Sent is a frame that leaves by a port.
type Sent struct {
	Port  uint32
	Frame []byte // as much as was to be kept
	Bytes int    // of it
}

const (
	macs     = 12
	tagBytes = 4
)

// newRecord makes a Record of a program's. What is in b is copied.
func newRecord(r *bpf.Record, frame []byte, boot time.Time) *Record {
	reason := dataplane.Reason(r.Reason)
	out := &Record{
		Time: boot.Add(time.Duration(r.Time)), Root: r.Root, Bytes: int(r.Bytes), Frame: insertTag(slices.Clone(frame), r.Tag),
		Result: dataplane.Result{
			Reason: reason, Ingress: r.Port, Group: r.Steps.Group, Hash: r.Steps.Hash, Adjacency: r.Steps.Adjacency,
		},
	}
	out.Packet, out.SentBytes = out.Frame, out.Bytes
	if reason.Verdict() == dataplane.Forward {
		out.Egress = r.Steps.Port
		out.Packet, out.SentBytes = insertTag(sent(r, frame), r.Steps.Tag), int(r.SentBytes)
		if r.Steps.Tag != 0 {
			out.SentBytes += tagBytes
		}
	}
	return out
}

// sent puts the frame as it leaves together: what is behind its headers is as it came in.
func sent(r *bpf.Record, frame []byte) []byte {
	all := slices.Clone(r.Sent[:min(int(r.SentKept), len(r.Sent))])
	from := len(all) + network(frame) - network(all)
	rest := int(r.SentBytes) - len(all)
	if rest <= 0 || from < 0 || from >= len(frame) {
		return all
	}
	return append(all, frame[from:min(from+rest, len(frame))]...)
}

// network is where the header behind the tags of a frame begins.
func network(frame []byte) int {
	at := macs
	for at+2 <= len(frame) {
		switch binary.BigEndian.Uint16(frame[at:]) {
		case 0x8100, 0x88a8:
			at += tagBytes
			continue
		}
		break
	}
	return at + 2
}

// insertTag puts a tag into a frame beside which it stood; 0: there was none.
func insertTag(frame []byte, tag uint32) []byte {
	if tag == 0 || len(frame) < macs {
		return frame
	}
	return slices.Insert(frame, macs, binary.LittleEndian.AppendUint32(nil, tag)...)
}

// cut is a Record with at most snap bytes of each frame.
func (r *Record) cut(snap int) *Record {
	c := *r
	c.Frame, c.Packet = c.Frame[:min(snap, len(c.Frame))], c.Packet[:min(snap, len(c.Packet))]
	if r.Loop != nil {
		loop := *r.Loop
		loop.Sent = slices.Clone(loop.Sent)
		for i := range loop.Sent {
			loop.Sent[i].Frame = loop.Sent[i].Frame[:min(snap, len(loop.Sent[i].Frame))]
		}
		c.Loop = &loop
	}
	return &c
}
