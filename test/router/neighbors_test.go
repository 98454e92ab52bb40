package router

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/test/star"
)

type neighbor struct {
	Dst, Dev, Lladdr string
	State            []string
}

func neighborOf(n *star.Network, dst string) neighbor {
	n.Helper()
	var all []neighbor
	n.Ask(&all, "neighbors")
	for _, one := range all {
		if one.Dst == dst {
			return one
		}
	}
	return neighbor{}
}

// isARPRequest recognizes a request for an address.
func isARPRequest(frame []byte, addr netip.Addr) bool {
	return len(frame) >= star.EthLen+28 && frame[12] == 0x08 && frame[13] == 0x06 &&
		binary.BigEndian.Uint16(frame[star.EthLen+6:]) == 1 && bytes.Equal(frame[star.EthLen+24:star.EthLen+28], addr.AsSlice())
}

// The first packet to a neighbor that nobody has asked for yet waits in Linux
// and is not lost; the next ones go by XDP.
func TestFirstPacketIsNotLost(t *testing.T) {
	n := star.New(t)
	n.Run()
	p := n.Path(2)
	n.IP("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	n.IP("r1", "-6 route add 2001:db8:70::/48 via 2001:db8:2::2")
	n.IP("h2", "addr add 10.2.0.3/24 dev eth0")
	n.IP("h2", "addr add 2001:db8:2::3/64 dev eth0 nodad")
	for _, c := range []struct{ dst, reason string }{
		{"10.2.0.3", "glean"}, {"2001:db8:2::3", "glean"},
		{"10.70.0.1", "unresolved_neigh"}, {"2001:db8:70::1", "unresolved_neigh"},
	} {
		n.WantReason(c.dst, c.reason)
		d := p.Packet(c.dst)
		n.WantCounted("to-h1", c.reason, 1, func() { p.Arrives(d) })
		n.WantForward(c.dst, "to-h2", "")
		p.Crosses(d)
	}
	// One to a neighbor that is not there ends with an error of Linux, which has
	// decremented its TTL then.
	n.QuickNeighbors("to-h2")
	d := p.Packet("10.2.0.200")
	n.WantCounted("to-h1", "glean", 1, func() { p.From.Send(d.Bytes()) })
	d.Ttl = 63
	wantError(p, d, 3, 1) // host unreachable
}

// A neighbor has another MAC: the next packets are sent to it.
func TestNeighborMACChange(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	p := n.Path(2)
	n.Sysctl("r1", "net.ipv4.neigh.to-h2.locktime", "0") // ARP would wait a second
	n.IP("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	n.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
	p.Crosses(p.Packet("10.70.0.1"))
	p.End = [6]byte{2, 0, 0, 0, 0, 0x22}
	n.SetMAC("h2", "eth0", p.End)
	for _, to := range []string{"10.2.0.1", "2001:db8:2::1"} { // its own packets tell
		n.IP("h2", "neigh flush all")
		n.Command("h2", "ping", "-q", "-c", "1", "-W", "5", to)
	}
	mac := net.HardwareAddr(p.End[:]).String()
	for _, dst := range []string{"10.70.0.1", "10.2.0.2", "2001:db8:2::2"} {
		n.WantLookup(dst, func(l *star.Lookup) bool { return l.Verdict == "forward" && l.Lladdr == mac })
		p.Crosses(p.Packet(dst))
	}
	// One that an operator has set.
	n.IP("r1", "neigh replace 10.2.0.99 lladdr 02:00:00:00:00:99 nud permanent dev to-h2")
	n.WantLookup("10.2.0.99", func(l *star.Lookup) bool { return l.Verdict == "forward" && l.Lladdr == "02:00:00:00:00:99" })
	p.End = [6]byte{2, 0, 0, 0, 0, 0x99}
	p.To.Promiscuous()
	p.Crosses(p.Packet("10.2.0.99"))
	n.IP("r1", "neigh del 10.2.0.99 dev to-h2")
	n.WantReason("10.2.0.99", "glean")
}

// A neighbor that only XDP sends to is asked from time to time, as Linux would:
// it stays usable while it answers, and packets go to Linux once it does not.
func TestNeighborInUseStaysFreshUntilItIsGone(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.QuickNeighbors("to-h2")
	n.Resolve()
	n.IP("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	n.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
	s := n.Stream("10.70.0.1")
	w := n.Wire("h2", "eth0")
	before := n.Count("to-h1", "forwarded")
	s.Begin()
	// A sink leaves ARP to the host.
	asked := func(f []byte) bool { return isARPRequest(f, netip.MustParseAddr("10.2.0.2")) }
	for range 2 {
		if w.Receive(10*time.Second, asked) == nil {
			t.Fatal("nobody has asked for 10.2.0.2 for 10 s")
		}
	}
	if state := neighborOf(n, "10.2.0.2").State; len(state) == 0 || slices.Contains(state, "FAILED") {
		t.Errorf("10.2.0.2 is %v", state)
	}
	s.Stop()
	if sent := s.WantAll(); n.Count("to-h1", "forwarded")-before != sent {
		t.Errorf("%d packets went by XDP, want all %d", n.Count("to-h1", "forwarded")-before, sent)
	}
	s.Close()

	n.IP("h2", "addr del 10.2.0.2/24 dev eth0")
	n.Until("packets to 10.70.0.1 are Linux's", func() bool { return n.Lookup("10.70.0.1").Reason == "unresolved_neigh" })
	if state := neighborOf(n, "10.2.0.2").State; strings.Join(state, "") != "FAILED" && len(state) > 0 && state[0] != "INCOMPLETE" {
		t.Errorf("10.2.0.2 is %v", state)
	}
	p := n.Path(2)
	d := p.Packet("10.70.0.1")
	n.WantCounted("to-h1", "unresolved_neigh", 1, func() { p.IsLost(d) })
	n.IP("h2", "addr add 10.2.0.2/24 dev eth0")
	n.IP("h2", "route add default via 10.2.0.1")
	n.Sysctl("r1", "net.ipv4.neigh.to-h2.retrans_time_ms", "1000") // a busy machine may be slow to answer
	p.Arrives(d)                                                   // it waits until the neighbor has answered
	n.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
	p.Crosses(d)
}
