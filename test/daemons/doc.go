// Package daemons runs Debian's routing daemons in network namespaces, for tests: FRR's
// zebra and its protocols, BIRD, GoBGP's gobgpd and ExaBGP.
//
// Each set of daemons has a directory of its own for what it would have in /run and
// /etc, so that many of them run on one machine, beside those that it may run anyway. A
// daemon has started when it answers. What a test leaves running is killed when it ends;
// what the daemons wrote is told if it has failed.
//
//	f := daemons.NewFRR(t, daemons.Node(l, "r2"))
//	f.Start("zebra", "")
//	f.Start("bgpd", "router bgp 65002\n neighbor 10.1.0.1 remote-as external\n")
//	f.Ask(&summary, "bgpd", "show bgp summary json")
//	f.Daemon("bgpd").Kill()  // as a crash does
//	f.Daemon("bgpd").Start() // with the same configuration
//
// The methods are for the test's own goroutine. No daemon is configured to talk to
// anything outside of its namespace.
package daemons
