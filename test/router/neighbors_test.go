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
)

type neighbor struct {
	Dst, Dev, Lladdr string
	State            []string
}

func (n *network) neighbor(dst string) neighbor {
	n.Helper()
	var all []neighbor
	n.ask(&all, "neighbors")
	for _, one := range all {
		if one.Dst == dst {
			return one
		}
	}
	return neighbor{}
}

// isARPRequest recognizes a request for an address.
func isARPRequest(frame []byte, addr netip.Addr) bool {
	return len(frame) >= ethLen+28 && frame[12] == 0x08 && frame[13] == 0x06 &&
		binary.BigEndian.Uint16(frame[ethLen+6:]) == 1 && bytes.Equal(frame[ethLen+24:ethLen+28], addr.AsSlice())
}

// The first packet to a neighbor that nobody has asked for yet waits in Linux
// and is not lost; the next ones go by XDP.
func TestFirstPacketIsNotLost(t *testing.T) {
	n := newNetwork(t)
	n.run()
	p := n.path(2)
	n.ip("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	n.ip("r1", "-6 route add 2001:db8:70::/48 via 2001:db8:2::2")
	n.ip("h2", "addr add 10.2.0.3/24 dev eth0")
	n.ip("h2", "addr add 2001:db8:2::3/64 dev eth0 nodad")
	for _, c := range []struct{ dst, reason string }{
		{"10.2.0.3", "glean"}, {"2001:db8:2::3", "glean"},
		{"10.70.0.1", "unresolved_neigh"}, {"2001:db8:70::1", "unresolved_neigh"},
	} {
		n.wantReason(c.dst, c.reason)
		d := p.packet(c.dst)
		n.wantCounted("to-h1", c.reason, 1, func() { p.arrives(d) })
		n.wantForward(c.dst, "to-h2", "")
		p.crosses(d)
	}
	// One to a neighbor that is not there ends with an error of Linux, which has
	// decremented its TTL then.
	n.quickNeighbors("to-h2")
	d := p.packet("10.2.0.200")
	n.wantCounted("to-h1", "glean", 1, func() { p.from.send(d.bytes()) })
	d.ttl = 63
	p.wantError(d, 3, 1) // host unreachable
}

// A neighbor has another MAC: the next packets are sent to it.
func TestNeighborMACChange(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	p := n.path(2)
	n.sysctl("r1", "net.ipv4.neigh.to-h2.locktime", "0") // ARP would wait a second
	n.ip("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	n.wantForward("10.70.0.1", "to-h2", "10.2.0.2")
	p.crosses(p.packet("10.70.0.1"))
	p.end = [6]byte{2, 0, 0, 0, 0, 0x22}
	n.setMAC("h2", "eth0", p.end)
	for _, to := range []string{"10.2.0.1", "2001:db8:2::1"} { // its own packets tell
		n.ip("h2", "neigh flush all")
		n.command("h2", "ping", "-q", "-c", "1", "-W", "5", to)
	}
	mac := net.HardwareAddr(p.end[:]).String()
	for _, dst := range []string{"10.70.0.1", "10.2.0.2", "2001:db8:2::2"} {
		n.wantLookup(dst, func(l *lookup) bool { return l.Verdict == "forward" && l.Lladdr == mac })
		p.crosses(p.packet(dst))
	}
	// One that an operator has set.
	n.ip("r1", "neigh replace 10.2.0.99 lladdr 02:00:00:00:00:99 nud permanent dev to-h2")
	n.wantLookup("10.2.0.99", func(l *lookup) bool { return l.Verdict == "forward" && l.Lladdr == "02:00:00:00:00:99" })
	p.end = [6]byte{2, 0, 0, 0, 0, 0x99}
	p.to.promiscuous()
	p.crosses(p.packet("10.2.0.99"))
	n.ip("r1", "neigh del 10.2.0.99 dev to-h2")
	n.wantReason("10.2.0.99", "glean")
}

// quickNeighbors makes Linux doubt its neighbors after a second.
func (n *network) quickNeighbors(dev string) {
	n.Helper()
	for _, family := range []string{"ipv4", "ipv6"} {
		base := "net." + family + ".neigh." + dev + "."
		n.sysctl("r1", base+"base_reachable_time_ms", "1000")
		n.sysctl("r1", base+"delay_first_probe_time", "1")
		n.sysctl("r1", base+"retrans_time_ms", "100")
	}
}

// A neighbor that only XDP sends to is asked from time to time, as Linux would:
// it stays usable while it answers, and packets go to Linux once it does not.
func TestNeighborInUseStaysFreshUntilItIsGone(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.quickNeighbors("to-h2")
	n.resolve()
	n.ip("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	n.wantForward("10.70.0.1", "to-h2", "10.2.0.2")
	s := n.stream("10.70.0.1")
	w := n.wire("h2", "eth0")
	before := n.count("to-h1", "forwarded")
	s.begin()
	// A sink leaves ARP to the host.
	asked := func(f []byte) bool { return isARPRequest(f, netip.MustParseAddr("10.2.0.2")) }
	for range 2 {
		if w.receive(10*time.Second, asked) == nil {
			t.Fatal("nobody has asked for 10.2.0.2 for 10 s")
		}
	}
	if state := n.neighbor("10.2.0.2").State; len(state) == 0 || slices.Contains(state, "FAILED") {
		t.Errorf("10.2.0.2 is %v", state)
	}
	s.stop()
	if sent := s.wantAll(); n.count("to-h1", "forwarded")-before != sent {
		t.Errorf("%d packets went by XDP, want all %d", n.count("to-h1", "forwarded")-before, sent)
	}
	s.close()

	n.ip("h2", "addr del 10.2.0.2/24 dev eth0")
	n.until("packets to 10.70.0.1 are Linux's", func() bool { return n.lookup("10.70.0.1").Reason == "unresolved_neigh" })
	if state := n.neighbor("10.2.0.2").State; strings.Join(state, "") != "FAILED" && len(state) > 0 && state[0] != "INCOMPLETE" {
		t.Errorf("10.2.0.2 is %v", state)
	}
	p := n.path(2)
	d := p.packet("10.70.0.1")
	n.wantCounted("to-h1", "unresolved_neigh", 1, func() { p.isLost(d) })
	n.ip("h2", "addr add 10.2.0.2/24 dev eth0")
	n.ip("h2", "route add default via 10.2.0.1")
	p.arrives(d) // it waits until the neighbor has answered
	n.wantForward("10.70.0.1", "to-h2", "10.2.0.2")
	p.crosses(d)
}
