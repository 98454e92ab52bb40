package fpm

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"weft/test/star"
)

// fpmFrame is a frame of FRR's with a route to a prefix through a gateway, as zebra
// makes it; without a gateway, the route has gone.
func fpmFrame(prefix, gateway string) []byte {
	p := netip.MustParsePrefix(prefix)
	attribute := func(b []byte, kind uint16, value []byte) []byte {
		b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
		return append(binary.NativeEndian.AppendUint16(b, kind), value...)
	}
	kind := uint16(unix.RTM_DELROUTE)
	body := []byte{unix.AF_INET, byte(p.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BGP, 0, unix.RTN_UNICAST, 0, 0, 0, 0}
	body = attribute(body, unix.RTA_DST, p.Addr().AsSlice())
	body = attribute(body, unix.RTA_PRIORITY, binary.NativeEndian.AppendUint32(nil, 20))
	if gateway != "" {
		kind = unix.RTM_NEWROUTE
		body = attribute(body, unix.RTA_GATEWAY, netip.MustParseAddr(gateway).AsSlice())
	}
	b := []byte{1, 1}
	b = binary.BigEndian.AppendUint16(b, uint16(4+16+len(body)))
	b = binary.NativeEndian.AppendUint32(b, uint32(16+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0)
	return append(b, body...)
}

// A route that only FRR has told of, over FPM: when it has been acknowledged,
// packets go by it, through XDP. A route that weft cannot install is told as failed.
// When FRR takes the route back packets are Linux's again.
func TestFPM(t *testing.T) {
	n := star.New(t)
	n.Start("--fpm", "127.0.0.1:2620")
	n.Until("there are three ports", func() bool { return len(n.Ports()) == 3 })
	n.Before = n.Accounts()
	n.Resolve()
	conn := dialFPM(n)
	defer conn.Close()
	say := func(frame []byte) {
		t.Helper()
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	wantAnswer := func(flags uint32) {
		t.Helper()
		header := make([]byte, 4)
		if _, err := io.ReadFull(conn, header); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, binary.BigEndian.Uint16(header[2:])-4)
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
		if got := binary.NativeEndian.Uint32(answer[16+8:]); got != flags {
			t.Errorf("answer with flags %#x, want %#x", got, flags)
		}
	}
	p := n.Path(2)
	say(fpmFrame("10.70.0.0/16", star.HostAddr(2, 4).String()))
	wantAnswer(unix.RTM_F_OFFLOAD)
	goesTo := func(host int) { // at once, as it has been acknowledged; Linux has no such route
		t.Helper()
		if l := n.Lookup("10.70.0.1"); l.Verdict != "forward" || l.Dev != fmt.Sprint("to-h", host) || l.Gateway != star.HostAddr(host, 4).String() {
			t.Errorf("%+v, want by to-h%d", l, host)
		}
	}
	goesTo(2)
	n.WantCounted("to-h1", "forwarded", 1, func() { p.Crosses(p.Packet("10.70.0.1")) })
	say(fpmFrame("10.71.0.0/16", "192.0.2.99")) // nobody knows the way to that gateway
	wantAnswer(unix.RTM_F_OFFLOAD_FAILED)
	say(fpmFrame("10.70.0.0/16", star.HostAddr(3, 4).String()))
	wantAnswer(unix.RTM_F_OFFLOAD)
	goesTo(3)
	say(fpmFrame("10.70.0.0/16", ""))
	n.WantReason("10.70.0.1", "ipv4_lpm_miss")
	if o := n.Weft("status", "--json"); o.Code != 0 {
		t.Errorf("status: %+v", o)
	}
}

// dialFPM connects from the router itself.
func dialFPM(n *star.Network) (conn net.Conn) {
	n.Helper()
	err := n.Lab.In("r1", func() (err error) {
		conn, err = net.Dial("tcp", "127.0.0.1:2620")
		return err
	})
	if err != nil {
		n.Fatal(fmt.Errorf("connect to weft as FRR does: %w", err))
	}
	return conn
}
