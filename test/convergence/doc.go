// Package convergence measures how long packets go astray when something changes: beside
// each other, routers whose kernel forwards with FRR or BIRD, the same with weft, and
// weft with its own BGP.
//
//	go test ./test/convergence -run - -bench . -benchtime 1x
//
// The router of package star has two BGP neighbors, h2 and h3, which announce the
// same prefixes; packets with 16,384 flows go to one of them, so to both neighbors. Two
// things happen, in turns:
//
//   - link: the link to h2 loses its carrier. What is lost is what still went there.
//   - withdraw: h2 withdraws the prefix, and has all others still. What comes to h2
//     after the moment of the command is late, the time of the command included; nothing is
//     lost as h2 takes it.
//
// Milliseconds are packets times the time between two of them on that way, the medians
// of the rounds; so 0.2 ms is what can be told apart. Each is told for one prefix
// and for all of the Internet's IPv4 table, with which there is one round: it takes minutes
// for each system, which can be asked for alone (-bench 'Convergence/900k_prefixes/frr_weft').
//
// With 900k prefixes, on two cores of a virtual machine that others used, one round each:
//
//	             all routes   link     withdraw
//	weft_bgp     54 s         0.8 ms    56 ms
//	frr_linux    60 s         1.0 ms   135 ms
package convergence
