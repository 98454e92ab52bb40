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

// fpmFrame is a frame of FRR's with a route to a prefix through gateways, as zebra makes
// it; without one, the route has gone.
func fpmFrame(prefix string, gateways ...string) []byte {
	var hops []byte
	for _, g := range gateways {
		gateway := attribute(nil, unix.RTA_GATEWAY, netip.MustParseAddr(g).AsSlice())
		hops = binary.NativeEndian.AppendUint16(hops, uint16(8+len(gateway))) // struct rtnexthop
		hops = append(append(hops, 0, 0, 0, 0, 0, 0), gateway...)
	}
	body := number(route(netip.MustParsePrefix(prefix)), unix.RTA_PRIORITY, 20)
	if hops == nil {
		return appendFrame(nil, unix.RTM_DELROUTE, body)
	}
	return appendFrame(nil, unix.RTM_NEWROUTE, attribute(body, unix.RTA_MULTIPATH, hops))
}

// peer is what the tests have instead of zebra.
type peer struct {
	*star.Network
	net.Conn
}

// dialFPM connects from the router itself.
func dialFPM(n *star.Network, address string) *peer {
	n.Helper()
	p := &peer{Network: n}
	err := n.Lab.In("r1", func() (err error) {
		p.Conn, err = net.Dial("tcp", address)
		return err
	})
	if err != nil {
		n.Fatal(fmt.Errorf("connect to weft as FRR does: %w", err))
	}
	n.Cleanup(func() { p.Close() })
	return p
}

func (p *peer) say(frame []byte) {
	p.Helper()
	if _, err := p.Write(frame); err != nil {
		p.Fatal(err)
	}
}

// wantAnswer waits for the acknowledgement that is next.
func (p *peer) wantAnswer(flags uint32) {
	p.Helper()
	header := make([]byte, 4)
	if _, err := io.ReadFull(p, header); err != nil {
		p.Fatal(err)
	}
	answer := make([]byte, binary.BigEndian.Uint16(header[2:])-4)
	if _, err := io.ReadFull(p, answer); err != nil {
		p.Fatal(err)
	}
	if got := binary.NativeEndian.Uint32(answer[16+8:]); got != flags {
		p.Errorf("answer with flags %#x, want %#x", got, flags)
	}
}

// installs says a route, which packets find then.
func (p *peer) installs(prefix string, gateways ...string) {
	p.Helper()
	p.say(fpmFrame(prefix, gateways...))
	p.wantAnswer(unix.RTM_F_OFFLOAD)
}

// A route that only FRR has told of, over FPM: when it has been acknowledged,
// packets go by it, through XDP. A route that weft cannot install is told as failed.
// When FRR takes the route back packets are Linux's again.
func TestFPM(t *testing.T) {
	n := star.New(t)
	n.Start("--fpm", fpmAddress)
	n.Until("there are three ports", func() bool { return len(n.Ports()) == 3 })
	n.Before = n.Accounts()
	n.Resolve()
	frr := dialFPM(n, fpmAddress)
	p := n.Path(2)
	frr.installs("10.70.0.0/16", star.HostAddr(2, 4).String())
	goesTo := func(host int) { // at once, as it has been acknowledged; Linux has no such route
		t.Helper()
		if l := n.Lookup("10.70.0.1"); l.Verdict != "forward" || l.Dev != fmt.Sprint("to-h", host) || l.Gateway != star.HostAddr(host, 4).String() {
			t.Errorf("%+v, want by to-h%d", l, host)
		}
	}
	goesTo(2)
	n.WantCounted("to-h1", "forwarded", 1, func() { p.Crosses(p.Packet("10.70.0.1")) })
	frr.say(fpmFrame("10.71.0.0/16", "192.0.2.99")) // nobody knows the way to that gateway
	frr.wantAnswer(unix.RTM_F_OFFLOAD_FAILED)
	frr.installs("10.70.0.0/16", star.HostAddr(3, 4).String())
	goesTo(3)
	frr.say(fpmFrame("10.70.0.0/16"))
	n.WantReason("10.70.0.1", "ipv4_lpm_miss")
	if o := n.Weft("status", "--json"); o.Code != 0 {
		t.Errorf("status: %+v", o)
	}
}

// A link that is down is not used, though FRR goes on to say so, and is again when it is
// up. Linux has none of these routes.
func TestLinkDown(t *testing.T) {
	n := star.New(t)
	n.Run("--fpm", fpmAddress)
	n.Resolve()
	frr := dialFPM(n, fpmAddress)
	frr.installs("10.70.0.0/16", "10.2.0.2")
	frr.installs("10.71.0.0/16", "10.2.0.2", "10.3.0.2")
	members := func(dst string, want int) {
		t.Helper()
		n.Until(fmt.Sprintf("packets to %s have %d ways", dst, want), func() bool { return n.Lookup(dst).Members == want })
	}
	to2, to3 := n.Path(2), n.Path(3)
	for range 2 {
		members("10.71.0.1", 2)
		to2.Crosses(to2.Packet("10.70.0.1"))
		n.IP("r1", "link set to-h2 down")
		n.WantReason("10.70.0.1", "ipv4_lpm_miss")
		members("10.71.0.1", 1)
		to3.Crosses(to3.Packet("10.71.0.1"))
		n.IP("r1", "link set to-h2 up")
		n.Command("r1", "ping", "-q", "-c", "1", "-w", "10", "10.2.0.2")
		n.Until("the route by to-h2 is back", func() bool { return n.Lookup("10.70.0.1").Verdict == "forward" })
	}
	if s := askFPM(n); s.Routes != 2 || s.Frames != 2 {
		t.Errorf("%+v", s)
	}
}

// Routes that only FPM tells of, which zebra has none of as it programs the kernel, too:
// a weft that is killed goes on by them, the next one gives their packets to Linux until
// they are told again.
func TestKilledWithRoutesOfFPMAlone(t *testing.T) {
	n := star.New(t)
	n.Run("--fpm", fpmAddress)
	n.Resolve()
	dialFPM(n, fpmAddress).installs("10.70.0.0/16", "10.2.0.2")
	p := n.Path(2)
	p.Crosses(p.Packet("10.70.0.1"))
	n.Signal(unix.SIGKILL)
	p.Arrives(p.Packet("10.70.0.1"))
	n.Run("--fpm", fpmAddress)
	n.WantReason("10.70.0.1", "ipv4_lpm_miss")
	dialFPM(n, fpmAddress).installs("10.70.0.0/16", "10.2.0.2")
	p.Crosses(p.Packet("10.70.0.1"))
}
