// Package bench is `weft bench`: what forwards, how fast, at what loss and what latency, side by side in one run, with
// nothing installed but weft. It makes its own network out of namespaces, measures, says how sure it is, and keeps all
// that is needed to do it again.
//
// # Rooms
//
//	peer            the network (generator, router, sink) and the systems that forward in it
//	search          NDR and PDR: which loads to try, and when to stop
//	result          what comes out: samples, ratios, the JSON document, Go-benchmark lines, the page, compare
//	../traffic      generator, sink and histogram, in the kernel; `weft bench gen` and `weft bench sink` are these alone
//	bench           the tests, and the run that takes them in turns (this package)
//
// # A run
//
// A case is a family, a table and a frame size. The run makes one network for each table, and in each round a test takes all systems
// in a case one after the other: what is compared is measured within seconds, so that a noisy neighbour meets all of them. A
// figure is the median of the rounds; a ratio of two systems is the median of the rounds' ratios. Both come with their spread
// (least, greatest) and all samples.
//
// There are two ways to share the CPUs. On one: generator, router and sink have the same. Nothing is lost then, and the rate is what a
// packet costs on its whole way: best for ratios, and for machines with one CPU. Apart: the router and the sink have a CPU
// of their own: that is for loss and latency, and for systems that are processes (weft soft).
//
// # Tests
//
//	cost         of the generator alone, of generator and sink without a router: the floor of all others; and CPU time
//	             of a packet in each system: of what a thread that takes the rest of the router's CPU gets less
//	             at 200,000 packets a second than at next to none. Energy where the machine tells it (RAPL)
//	mrr          packets a second at saturation (maximum receive rate), one CPU for all
//	scale        the same with each table
//	throughput   NDR (no loss) and PDR (0.5 % lost), RFC 2544 26.1, apart: see package search
//	loss         share lost from 10 % to 120 % of PDR, RFC 2544 26.3
//	backtoback   longest burst without loss, RFC 2544 26.4, RFC 9004
//	latency      p50, p99, p99.9 at 10, 50 and 90 % of PDR, RFC 8219 7.2
//	tax          rate of weft_xdp with each of peer.Features on, and with all, in turns with bare weft_xdp; tax is the time
//	             that a packet takes longer
//	ecmp         rate with 1, 2, 16, 256 next hops
//	churn        rate while 0, 1,000, 10,000 routes a second get another next hop; and at 100,000 packets a second, which no
//	             system is too slow for, the time that packets do not arrive: lost packets over rate
//	reset        a daemon is killed (SIGKILL) under 20,000 packets a second and started again: lost packets, time until it
//	             forwards
//	idle         CPU and memory of a daemon after its start, one route
//	cores        1, 2, 4, ... CPUs, each of which makes, forwards and takes in packets of its own
//	routers      1 to 32 routers in a row, in one namespace each, on one CPU
//	convergence  one route is removed, or the link is set down by which all go: time that packets do not arrive, until a default
//	             route has them. IPv4
//
// A short run has IPv4 alone in tests after backtoback, and in churn and convergence tables of 100,000 routes at most.
//
// Frame sizes are of the whole Ethernet frame with its checksum, as RFC 2544 has them: 64 is 60 bytes on a veth. IPv6 begins at
// 84 (RFC 8219): there is room for a sequence number and a time. imix is 64, 570, 1518 as 7, 4, 1 (RFC 6985); letters of RFC 6985 are
// taken, too. Frames above 1518 have a network of their own, with an MTU of 9000: programs for those (of several pieces) are
// slower for all. They come through a socket, some 100,000 a second; tests apart leave them out.
//
// # The document
//
// result.Document is the only thing that a run makes; tables, pages and lines are views of it. It carries a version (Schema),
// the machine, kernel, versions, seeds and the command line, and for each row its key (test, system, family, table, size, metric),
// the metric with its unit and whether more is better, and all samples in the order in which they were taken. A run that
// was interrupted, or failed, leaves the rows that it has, with the rounds that it has; Document.Partial says that, and why. Who reads it must take fields that he does not know as if
// they were not there. A field that changes its meaning takes a new Schema.
//
// # How to add
//
// A system: an entry of peer.Systems and a type with four methods. A test: an entry of TestNames and of others (run.go). A metric: a Row with its unit: tables,
// page, benchmark lines and compare take it from there. A feature of weft that costs something
// is an entry of peer.Features.
package bench
