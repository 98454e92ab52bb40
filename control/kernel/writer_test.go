package kernel

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// answer builds NLMSG_ERROR.
func answer(sequence uint32, errno unix.Errno, text string) message {
	body := append(message(u32(uint32(-int32(errno)))), make([]byte, unix.SizeofNlMsghdr)...)
	flags := uint16(0)
	if text != "" {
		flags = unix.NLM_F_ACK_TLVS
		body = body.attr(unix.NLMSGERR_ATTR_MSG, append([]byte(text), 0))
	}
	head := append(message(u32(uint32(unix.SizeofNlMsghdr+len(body)))), u16(unix.NLMSG_ERROR)...)
	head = append(append(head, u16(flags)...), u32(sequence)...)
	return append(append(head, u32(0)...), body...)
}

func TestTakeAnswers(t *testing.T) {
	results := make([]error, 3)
	in := append(answer(9, unix.ENOENT, "of an earlier batch"), answer(11, unix.EEXIST, "")...)
	if takeAnswers(append(in, answer(11, unix.EINVAL, "Nexthop id does not exist")...), 10, results) {
		t.Error("done before the last is answered")
	}
	if !takeAnswers(answer(12, 0, ""), 10, results) {
		t.Error("not done")
	}
	if results[0] != nil || results[2] != nil || !errors.Is(results[1], unix.EINVAL) || !strings.Contains(results[1].Error(), "Nexthop id does not exist") {
		t.Errorf("%v", results)
	}
	// Whatever comes, it does not panic.
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		b := append(answer(10+random.Uint32N(4), unix.EEXIST, "text"), answer(12, 0, "")...)
		for range 3 {
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
		takeAnswers(b[:random.IntN(len(b)+1)], 10, results)
	}
	t.Logf("seed %d", seed)
}

// What a Writer collects is what the decoders read.
func TestWriterMessages(t *testing.T) {
	w := &Writer{first: 7}
	take := func(i int, kind, flags uint16) message {
		t.Helper()
		b := w.buf[w.last:]
		if n := binary.NativeEndian.Uint32(b); int(n) != len(b) || n%4 != 0 || binary.NativeEndian.Uint16(b[4:]) != kind ||
			binary.NativeEndian.Uint16(b[6:]) != unix.NLM_F_REQUEST|flags || binary.NativeEndian.Uint32(b[8:]) != uint32(7+i) {
			t.Errorf("header of message %d: % x", i, b[:16])
		}
		return message(b[unix.SizeofNlMsghdr:])
	}
	want := Route{Prefix: p("2001:db8::/33"), Table: 1000, Type: unix.RTN_UNICAST, Protocol: 119, Metric: 20, MTU: 1400, NextHop: 77}
	var r Route
	w.SetRoute(&want, Create)
	if err := r.Decode(take(0, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)); err != nil || r.Prefix != want.Prefix || r.Table != 1000 ||
		r.Protocol != 119 || r.Metric != 20 || r.MTU != 1400 || r.NextHop != 77 || r.Type != unix.RTN_UNICAST {
		t.Errorf("%+v %v", r, err)
	}
	want.Prefix, want.Table = p("10.0.0.0/8"), 254
	w.DeleteRoute(&want)
	if err := r.Decode(take(1, unix.RTM_DELROUTE, 0)); err != nil || r.Prefix != want.Prefix || r.Table != 254 || r.Protocol != 119 || r.Metric != 20 ||
		r.Scope != unix.RT_SCOPE_NOWHERE {
		t.Errorf("%+v %v", r, err)
	}
	var n NextHop
	w.SetNextHop(&NextHop{ID: 5, Protocol: 119, Hop: Hop{Link: 3, Gateway: a("192.0.2.1")}}, Upsert)
	if err := n.Decode(take(2, unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)); err != nil || n.ID != 5 || n.Protocol != 119 || n.Family != unix.AF_INET ||
		n.Hop != (Hop{Link: 3, Gateway: a("192.0.2.1"), Weight: 1, Flags: unix.RTNH_F_ONLINK}) {
		t.Errorf("%+v %v", n, err)
	}
	w.SetNextHop(&NextHop{ID: 6, Members: []NextHopMember{{5, 1}, {7, 300}}}, Create)
	if err := n.Decode(take(3, unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_EXCL)); err != nil || len(n.Members) != 2 || n.Members[1] != (NextHopMember{7, 300}) {
		t.Errorf("%+v %v", n, err)
	}
	neighbor := Neighbor{Link: 3, Addr: a("2001:db8::9"), MAC: MAC{2, 0, 0, 0, 0, 9}, HasMAC: true, State: unix.NUD_PERMANENT, Protocol: 119}
	var got Neighbor
	w.SetNeighbor(&neighbor, Upsert)
	if err := got.Decode(take(4, unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)); err != nil || got != neighbor {
		t.Errorf("%+v %v", got, err)
	}
	w.DeleteNeighbor(&neighbor)
	neighbor.MAC, neighbor.HasMAC, neighbor.Protocol = MAC{}, false, 0
	if err := got.Decode(take(5, unix.RTM_DELNEIGH, 0)); err != nil || got != neighbor {
		t.Errorf("%+v %v", got, err)
	}
	if len(w.results) != 6 {
		t.Errorf("%d messages", len(w.results))
	}
}
