package faults

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/star"
)

// watched is a network with traffic from h1 to h2, all of which is to go by XDP,
// while things happen to the port to h3.
func watched(t *testing.T, what string) (f *fault, finish func()) {
	t.Helper()
	f = begin(t, "R20", what)
	f.Run()
	f.Resolve()
	f.IP("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	f.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
	s := f.Stream("10.70.0.1", "10.2.0.2")
	before := f.Count("to-h1", "forwarded")
	s.Begin()
	return f, func() {
		t.Helper()
		s.Stop()
		f.proved.Packets = s.WantAll()
		if went := f.Count("to-h1", "forwarded") - before; went < f.proved.Packets {
			t.Errorf("%d packets went by XDP, want all %d", went, f.proved.Packets)
		}
	}
}

// wantUsable asserts that packets to h3 arrive by Linux, and then by XDP.
func wantUsable(f *fault) {
	f.Helper()
	f.IsPort("to-h3")
	p := f.Path(3)
	for _, dst := range []string{"10.3.0.2", "2001:db8:3::2"} {
		p.Arrives(p.Packet(dst))
		f.WantForward(dst, "to-h3", "")
		p.Arrives(p.Packet(dst))
	}
}

// A port goes down and up, 20 times a second.
func TestLinkFlapping(t *testing.T) {
	f, finish := watched(t, "link down and up, 20 times a second")
	f.IP("r1", "route add 10.71.0.0/16 nexthop via 10.2.0.2 nexthop via 10.3.0.2")
	const period = 50 * time.Millisecond
	start := time.Now()
	for time.Since(start) < pick(3*time.Second, time.Minute) {
		for _, state := range []string{"down", "up"} {
			next := time.Now().Add(period / 2)
			f.IP("r1", "link set to-h3 "+state)
			time.Sleep(time.Until(next))
		}
		f.proved.Count++
	}
	f.CatchUp()
	wantUsable(f)
	finish()
	f.proved.What += fmt.Sprintf(" (%.0f)", float64(f.proved.Count)/time.Since(start).Seconds())
}

// Other things that an operator does to an interface: it has another MTU, name and
// MAC, and comes back.
func TestLinkChanged(t *testing.T) {
	f, finish := watched(t, "interface with other MTUs, names and MACs")
	number := f.Ports()["to-h3"].Number
	for i := range pick(10, 200) {
		f.IP("r1", fmt.Sprintf("link set to-h3 mtu %d", 1280+i%200))
		f.IP("r1", "link set to-h3 down")
		f.IP("r1", "link set to-h3 name uplink")
		f.SetMAC("r1", "uplink", [6]byte{2, 0, 0, 0, 1, byte(i)})
		f.IP("r1", "link set uplink up")
		f.IP("r1", "link set uplink name to-h3") // while it is up
		f.proved.Count += 5
	}
	f.IP("r1", "-6 addr replace 2001:db8:3::1/64 dev to-h3 nodad") // gone with the link
	f.Command("h3", "ip", "neigh", "flush", "all")
	f.Command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.3.0.2")
	f.CatchUp()
	wantUsable(f)
	if p := f.Ports()["to-h3"]; p.Number != number || p.MTU != f.Link("r1", "to-h3").Attrs().MTU {
		t.Errorf("to-h3 was port %d, and is %+v", number, p)
	}
	finish()
}

// A port goes with its interface. Another one of its name, also one of its
// number, is a port of its own, and soon; none gets packets for the one before.
func TestLinkDeletedAndMadeAgain(t *testing.T) {
	f, finish := watched(t, "interface deleted, and made again with its name and number")
	f.IP("r1", "route add 10.72.0.0/16 via 10.2.0.2 metric 20")
	h2 := f.Path(2)
	ifindex := f.Ports()["to-h3"].Ifindex
	var attached, slowest time.Duration
	for i := range pick(4, 100) {
		f.IP("r1", "route add 10.72.0.0/16 via 10.3.0.2 metric 10")
		f.IP("r1", "link del to-h3")
		f.Until("to-h3 is no port", func() bool { _, is := f.Ports()["to-h3"]; return !is })
		f.WantForward("10.72.0.1", "to-h2", "10.2.0.2")
		h2.Arrives(h2.Packet("10.72.0.1"))
		start := time.Now()
		f.Connect(3, "to-h3", []string{"", fmt.Sprintf("index %d", ifindex)}[i%2])
		f.Until("to-h3 is a port", func() bool { return f.Ports()["to-h3"].Mode == "native" })
		attached = max(attached, time.Since(start))
		f.IsPort("to-h3")
		slowest = max(slowest, time.Since(start))
		delete(f.Before, f.Ports()["to-h3"].Ifindex) // it has counters of its own
		wantUsable(f)
		f.proved.Count++
	}
	if got := f.Ports()["to-h3"].Ifindex; got != ifindex {
		t.Errorf("ifindex %d, want %d again", got, ifindex)
	}
	finish()
	f.proved.What += fmt.Sprintf(" (attached within %d ms, sent to within %d ms)", attached.Milliseconds(), slowest.Milliseconds())
}

// Another interface gets the number of one that is gone, and is no port: nothing
// goes there that was for the one before.
func TestIfindexUsedAgain(t *testing.T) {
	f, finish := watched(t, "number of a deleted interface given to another that is no port")
	ifindex := f.Ports()["to-h3"].Ifindex
	f.IP("r1", "link del to-h3")
	f.IP("r1", fmt.Sprintf("link add other index %d type veth peer name seen", ifindex))
	for _, name := range []string{"other", "seen"} {
		f.Sysctl("r1", "net.ipv4.conf."+name+".forwarding", "0")
		f.Sysctl("r1", "net.ipv6.conf."+name+".forwarding", "0")
		f.Command("r1", "ethtool", "-K", name, "gro", "on")
		f.IP("r1", "link set "+name+" up")
	}
	w := f.Wire("r1", "seen")
	p := f.Path(2)
	for range pick(100, 1000) { // from before the daemon knows until it does
		p.From.Send(p.Packet("10.3.0.2").Bytes())
		f.proved.Count++
	}
	f.Until("to-h3 is no port", func() bool { _, is := f.Ports()["to-h3"]; return !is })
	f.CatchUp()
	f.WantReason("10.3.0.2", "ipv4_lpm_miss")
	if got := w.Receive(star.Quiet, star.IsUDP); got != nil {
		t.Errorf("a packet for the interface before has come in: % x", got)
	}
	finish()
}

// A port is moved to another namespace and back.
func TestLinkMoved(t *testing.T) {
	f, finish := watched(t, "interface moved to another network namespace, and back")
	var slowest time.Duration
	for range pick(2, 50) {
		f.IP("r1", "link set to-h3 netns "+f.Lab.Namespace("h2"))
		f.Until("to-h3 is no port", func() bool { _, is := f.Ports()["to-h3"]; return !is })
		f.WantReason("10.3.0.2", "ipv4_lpm_miss")
		if x := f.Link("h2", "to-h3").Attrs().Xdp; x != nil && x.Attached {
			t.Errorf("program %d is still attached to it", x.ProgId)
		}
		f.IP("h2", "link set to-h3 netns "+f.Lab.Namespace("r1"))
		start := time.Now()
		f.IP("r1", "addr add 10.3.0.1/24 dev to-h3")
		f.IP("r1", "addr add 2001:db8:3::1/64 dev to-h3 nodad")
		f.IP("r1", "link set to-h3 up")
		f.IsPort("to-h3")
		slowest = max(slowest, time.Since(start))
		delete(f.Before, f.Ports()["to-h3"].Ifindex)
		wantUsable(f)
		f.proved.Count++
	}
	finish()
	f.proved.What += fmt.Sprintf(" (a port again within %d ms)", slowest.Milliseconds())
}

// An interface is replaced by another one of its name and number while no daemon
// looks: the next daemon does not take the one for the other.
func TestLinkReplacedWithoutDaemon(t *testing.T) {
	f, finish := watched(t, "interface replaced while the daemon is dead")
	ifindex := f.Ports()["to-h3"].Ifindex
	f.Signal(unix.SIGKILL)
	f.IP("r1", "link del to-h3")
	f.Connect(3, "to-h3", fmt.Sprintf("index %d", ifindex))
	f.Start()
	f.IsPort("to-h3")
	delete(f.Before, ifindex)
	wantUsable(f)
	finish()
	f.proved.Count = 1
}
