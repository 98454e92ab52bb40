package fpm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/test/proof"
	"weft/test/star"
)

// A set of routes as FRR makes them.
const (
	byOSPF = "10.90.0.0/24" // by both neighbors
	byBGP  = "10.91.0.0/24" // by both
	by3    = "10.95.0.0/24" // by h3 alone, by BGP
	six3   = "2001:db8:95::/48"
	hole   = "10.94.0.0/24"
)

// tellAll makes FRR learn all of them, and waits until weft has them of FRR and the
// kernel does the same.
func (n *network) tellAll() {
	n.Helper()
	for _, host := range []int{2, 3} {
		n.ospf(host, byOSPF)
		n.announce(host, byBGP, true)
		n.announce(host, far, true)
		n.announce(host, sixes, true)
	}
	n.announce(3, by3, true)
	n.announce(3, six3, true)
	n.r1.Configure("staticd", "ip route "+hole+" blackhole")
	for _, prefix := range []string{byOSPF, byBGP, far} {
		n.wantVia(prefix, "to-h2", "to-h3")
	}
	n.Until("both know the routes over IPv6", func() bool {
		all := n.candidates(inside(sixes))
		return len(all) > 0 && all[len(all)-1].Source == "kernel" && len(all[0].links()) == 2
	})
	n.wantVia(by3, "to-h3")
	n.wantVia(six3, "to-h3")
	n.WantReason(inside(hole), "blackhole_route")
}

// inside returns an address of a prefix.
func inside(prefix string) string {
	return strings.NewReplacer(".0/24", ".1", "::/48", "::1").Replace(prefix)
}

// wantVia waits until weft forwards to a prefix by some links as FRR has told it, and
// the kernel has the same route with the same preference.
func (n *network) wantVia(prefix string, links ...string) {
	n.Helper()
	var all []candidate
	n.Until(fmt.Sprintf("%s is FRR's, by %v", prefix, links), func() bool {
		all = n.candidates(inside(prefix))
		return len(all) == 2 && all[0].Source == "fpm" && all[1].Source == "kernel" &&
			slices.Equal(all[0].links(), links) && slices.Equal(all[1].links(), links)
	})
	if all[0].Metric != all[1].Metric || !all[0].Selected || all[1].Selected {
		n.Errorf("%s: %+v", prefix, all)
	}
	n.WantLookup(inside(prefix), func(l *star.Lookup) bool { return l.Verdict == "forward" && l.Prefix == prefix })
}

// crosses asserts that flows to a prefix arrive at the hosts that they should, each of
// which gets some: forwarded by XDP, with all bytes as RFC 1812 says.
func (n *network) crosses(prefix string, hosts ...int) (packets uint64) {
	n.Helper()
	const flows = 40
	paths, got := map[int]*star.Path{}, map[int]int{}
	for _, h := range []int{2, 3} {
		paths[h] = n.Path(h)
	}
	n.WantCounted("to-h1", "forwarded", flows, func() {
		for i := range uint16(flows) {
			d := paths[2].Packet(inside(prefix))
			d.Sport = 40000 + i
			paths[2].From.Send(d.Bytes())
			h := arrives(paths, d)
			if got[h]++; !slices.Contains(hosts, h) {
				n.Errorf("%s: flow %d has come to h%d (0: nowhere)", prefix, i, h)
			}
		}
	})
	for _, h := range hosts {
		if got[h] == 0 {
			n.Errorf("%s: of %d flows none has come to h%d: %v", prefix, flows, h, got)
		}
	}
	return flows
}

// arrives returns to which host a packet comes.
func arrives(paths map[int]*star.Path, d star.Datagram) (host int) {
	for deadline := time.Now().Add(star.Patience); time.Now().Before(deadline); {
		for h, p := range paths {
			if frame := p.To.Receive(0, star.IsUDP); frame != nil {
				p.WantFrame(d, frame)
				return h
			}
		}
	}
	return 0
}

// Routes of bgpd, ospfd and staticd reach weft over FPM, with next-hop groups and
// without; packets go by them through XDP; and the kernel, which FRR programs, too,
// agrees.
func TestFRR(t *testing.T) {
	for _, groups := range []bool{true, false} {
		name := map[bool]string{true: "groups", false: "no groups"}[groups]
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, groups)
			n.tellAll()
			s := askFPM(n.Network)
			t.Logf("%+v", s)
			if s.Parked+s.Stale+s.BadFrames+s.Undecodable+s.Refused != 0 || s.Routes != 7 || groups == (s.NextHops == 0) {
				t.Errorf("%+v", s)
			}
			// Without groups zebra does not tell the IPv6 address of such a next hop: the kernel does.
			if all := n.candidates(inside(sixes)); all[0].Source != map[bool]string{true: "fpm", false: "kernel"}[groups] {
				t.Errorf("%s: %+v", sixes, all)
			}
			var packets uint64
			for _, prefix := range []string{byOSPF, byBGP, far, sixes} {
				packets += n.crosses(prefix, 2, 3)
			}
			packets += n.crosses(by3, 3) + n.crosses(six3, 3)
			n.WantCounted("to-h1", "blackhole_route", 1, func() {
				p := n.Path(2)
				p.IsLost(p.Packet(inside(hole)))
			})
			packets += n.withdraws()
			n.kernelsOwn()
			n.linkDown()
			proof.Record(t, proof.Result{
				Kind: proof.Case, Name: "FPM", What: "routes of FRR 8.4 (bgpd, ospfd, staticd; ECMP, recursive, IPv4 over IPv6, blackhole), " + name,
				Count: 7, Packets: packets,
			})
		})
	}
}

// withdraws lets next hops of a route come and go, upon which no packet is lost, and
// then the route itself go.
func (n *network) withdraws() (packets uint64) {
	n.Helper()
	const rounds = 3
	s := n.Stream(inside(byBGP), "10.91.0.2", "10.91.0.3", "10.91.0.4")
	before := n.Count("to-h1", "forwarded")
	s.Begin()
	for range rounds {
		n.announce(3, byBGP, false)
		n.wantVia(byBGP, "to-h2")
		n.announce(3, byBGP, true)
		n.wantVia(byBGP, "to-h2", "to-h3")
		n.announce(2, byBGP, false)
		n.wantVia(byBGP, "to-h3")
		n.announce(2, byBGP, true)
		n.wantVia(byBGP, "to-h2", "to-h3")
	}
	s.Stop()
	packets = s.WantAll()
	if went := n.Count("to-h1", "forwarded") - before; went != packets {
		n.Errorf("%d of %d packets went by XDP", went, packets)
	}
	n.announce(2, byBGP, false)
	n.announce(3, byBGP, false)
	n.WantReason(inside(byBGP), "ipv4_lpm_miss")
	return packets
}

// kernelsOwn adds and deletes a route that is the kernel's own: zebra tells that it has
// come, and does not tell that it has gone (FRR's issue 19637).
func (n *network) kernelsOwn() {
	n.Helper()
	const prefix = "10.97.0.0/24"
	told := askFPM(n.Network).Ignored
	n.IP("r1", "route add "+prefix+" via 10.3.0.2")
	n.Until("zebra has told it", func() bool { return askFPM(n.Network).Ignored > told })
	n.WantForward(inside(prefix), "to-h3", "10.3.0.2")
	if all := n.candidates(inside(prefix)); len(all) != 1 || all[0].Source != "kernel" {
		n.Errorf("%s: %+v", prefix, all)
	}
	n.IP("r1", "route del "+prefix)
	n.WantReason(inside(prefix), "ipv4_lpm_miss")
}

// linkDown sets a link down, upon which zebra may not tell that routes over it have gone
// (FRR's issue 15395). Packets do not go there, whatever it says.
func (n *network) linkDown() {
	n.Helper()
	const prefix = "10.96.0.0/24"
	n.r1.Configure("staticd", "ip route "+prefix+" 10.2.0.2")
	n.wantVia(prefix, "to-h2")
	n.IP("r1", "link set to-h2 down")
	n.WantReason(inside(prefix), "ipv4_lpm_miss")
	for _, p := range []string{byOSPF, far} {
		n.WantForward(inside(p), "to-h3", "10.3.0.2")
		n.crosses(p, 3)
	}
}
