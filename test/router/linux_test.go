package router

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What weft does not do itself it leaves to Linux: no packet takes a way that
// Linux would not send it.
func TestLeftToLinux(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	h2, h3 := n.path(2), n.path(3)

	// Rules: packets from h1 have another table.
	n.ip("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	n.wantForward("10.70.0.1", "to-h2", "10.2.0.2")
	n.ip("r1", "route add 10.70.0.0/16 via 10.3.0.2 table 100")
	n.ip("r1", "rule add from 10.1.0.2 table 100")
	n.wantLookup("10.70.0.1", func(l *lookup) bool { return l.Verdict == "punt" })
	h3.arrives(h3.packet("10.70.0.1"))
	h2.crosses(h2.packet("2001:db8:2::2")) // the other family has none
	n.ip("r1", "rule del from 10.1.0.2 table 100")
	n.wantForward("10.70.0.1", "to-h2", "10.2.0.2")
	h2.crosses(h2.packet("10.70.0.1"))

	// Members of a bridge: packets go through the bridge first.
	n.ip("r1", "link add br0 type bridge")
	n.ip("r1", "link set br0 up")
	n.ip("r1", "link set to-h3 master br0")
	n.until("to-h3 is no port", func() bool { _, is := n.ports()["to-h3"]; return !is })
	n.ip("r1", "addr flush dev to-h3")
	n.ip("r1", "addr add 10.3.0.1/24 dev br0")
	h3.out = n.mac("r1", "br0")
	n.wantCounted("to-h1", "forwarded", 0, func() { h3.arrives(h3.packet("10.3.0.2")) })
	n.ip("r1", "link del br0")
	n.isPort("to-h3")
	delete(n.before, n.ports()["to-h3"].Ifindex)
	n.ip("r1", "addr add 10.3.0.1/24 dev to-h3")
	h3.out = n.mac("r1", "to-h3")
	h3.arrives(h3.packet("10.3.0.2"))
	n.wantForward("10.3.0.2", "to-h3", "")
	h3.crosses(h3.packet("10.3.0.2"))

	// Encapsulation.
	n.ip("r1", "-6 route add 2001:db8:70::/48 encap seg6 mode encap segs 2001:db8:3::2 dev to-h3")
	n.wantLookup("2001:db8:70::1", func(l *lookup) bool { return l.Verdict == "punt" })
}

// An interface whose number is too high for weft stays Linux's, and is told of.
func TestHighIfindex(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	n.ip("r1", "link del to-h3")
	n.connect(3, "to-h3", "index 1000000")
	var list portList
	n.until("to-h3 is refused", func() bool {
		n.ask(&list, "ports")
		return len(list.Refused) == 1 && list.Refused[0].Ifname == "to-h3"
	})
	h3 := n.path(3)
	h3.arrives(h3.packet("10.3.0.2"))
	n.wantCounted("to-h1", "forwarded", 0, func() { h3.arrives(h3.packet("10.3.0.2")) })
}

// A daemon that stands still does not stop packets, and catches up.
func TestDaemonStopped(t *testing.T) {
	n := newNetwork(t)
	n.run("--receive-buffer", "4096")
	n.resolve()
	end := n.stableStream()
	if err := n.daemon.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		n.ip("r1", fmt.Sprintf("route add 10.70.%d.0/24 via 10.2.0.2", i))
	}
	n.ip("r1", "route del 10.70.7.0/24")
	n.ip("r1", "link add later type veth peer name later2")
	time.Sleep(100 * time.Millisecond)
	if err := n.daemon.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	n.until("an overrun is noticed", func() bool { return n.status().Netlink.Overruns > 0 })
	n.wantForward("10.70.199.1", "to-h2", "10.2.0.2")
	n.wantReason("10.70.7.1", "ipv4_lpm_miss")
	end()
}
