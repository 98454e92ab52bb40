package fpm

import (
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/api"
	"weft/test/fulltable"
	"weft/test/star"
)

const rtaNHID = 30 // RTA_NH_ID of linux/rtnetlink.h

// feed is a stream as zebra's, of next-hop objects and routes by them, one in a frame.
type feed struct {
	bytes  []byte
	routes uint64
}

// appendFrame appends a frame with one message.
func appendFrame(b []byte, kind uint16, body []byte) []byte {
	n := unix.SizeofNlMsghdr + len(body)
	b = binary.BigEndian.AppendUint16(append(b, 1, 1), uint16(4+n))
	b = binary.NativeEndian.AppendUint32(b, uint32(n))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0)
	return append(b, body...)
}

// route begins a message about a route.
func route(p netip.Prefix) []byte {
	head := []byte{family(p.Addr()), byte(p.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BGP, 0, unix.RTN_UNICAST, 0, 0, 0, 0}
	return attribute(head, unix.RTA_DST, p.Addr().AsSlice())
}

func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	return append(append(binary.NativeEndian.AppendUint16(b, kind), value...), make([]byte, -len(value)&3)...)
}

func number(b []byte, kind uint16, n uint32) []byte {
	return attribute(b, kind, binary.NativeEndian.AppendUint32(nil, n))
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// add adds prefixes of a family, and objects whose numbers begin behind first.
func (f *feed) add(prefixes []netip.Prefix, hops []uint32, gateways netip.Addr, link int, first uint32) {
	for n := uint32(1); n < 256; n++ {
		gateway := gateways.AsSlice()
		gateway[len(gateway)-1] = byte(n)
		body := number([]byte{family(gateways), 0, unix.RTPROT_ZEBRA, 0, 0, 0, 0, 0}, unix.NHA_ID, first+n)
		f.bytes = appendFrame(f.bytes, unix.RTM_NEWNEXTHOP, number(attribute(body, unix.NHA_GATEWAY, gateway), unix.NHA_OIF, uint32(link)))
	}
	for i, p := range prefixes {
		f.bytes = appendFrame(f.bytes, unix.RTM_NEWROUTE, number(number(route(p), unix.RTA_PRIORITY, 20), rtaNHID, first+hops[i]))
		f.routes++
	}
}

// BenchmarkFeed has a peer that costs nothing tell the Internet's table to weft, until
// packets find all of it. The kernel has none of it.
func BenchmarkFeed(b *testing.B) {
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		b.Fatal(err)
	}
	n := star.New(b)
	n.Wait = time.Minute
	link := n.Link("r1", "to-h2").Attrs().Index
	var f feed
	for _, t := range []struct {
		prefixes []netip.Prefix
		gateways string
		first    uint32
	}{{v4, "10.2.0.0", 1000}, {v6, "2001:db8:2::", 2000}} {
		f.add(t.prefixes, fulltable.NextHops(len(t.prefixes), 1), netip.MustParseAddr(t.gateways), link, t.first)
	}
	var took time.Duration
	for b.Loop() {
		took += f.installed(b, n)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took.Seconds()/float64(b.N), "weft-s")
	b.ReportMetric(float64(f.routes)*float64(b.N)/took.Seconds(), "routes/s")
}

// installed gives all to a new weft, and returns how long that took.
func (f *feed) installed(b *testing.B, n *star.Network) time.Duration {
	n.Start("--fpm", fpmAddress)
	conn, err := api.Dial(n.Socket())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	weft := api.NewRouterClient(conn)
	p := dialFPM(n, fpmAddress)
	defer p.Close()
	go func() { _, _ = io.Copy(io.Discard, p) }() // acknowledgements
	began := time.Now()
	p.say(f.bytes)
	n.Until("all routes are installed", func() bool {
		st, err := weft.GetStatus(b.Context(), &api.StatusRequest{})
		if err != nil {
			b.Fatal(err)
		}
		return st.GetFpm().GetRoutes() == f.routes && st.GetFpm().GetQueued() == 0
	})
	took := time.Since(began)
	if s := n.Status().FIB; uint64(s.IPv4Routes+s.IPv6Routes) < f.routes || s.NotInstalled > 0 {
		b.Fatalf("%+v", s)
	}
	if o := n.Weft("stop"); o.Code != 0 {
		b.Fatalf("%+v", o)
	}
	n.Daemon = nil // nothing to look at in the end
	return took
}
