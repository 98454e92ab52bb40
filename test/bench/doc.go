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
// A Test is a name, what it measures, and a function that measures one Case of it in one network; a Case is a family, a
// frame size, a table, a system. The run makes one network for each table, and in each round takes all systems of a Case
// one after the other: what is compared is measured within seconds, so that a noisy neighbour meets all of them. A
// figure is the median of the rounds; a ratio of two systems is the median of the rounds' ratios. Both come with their spread
// (least, greatest) and all samples.
//
// Where the CPUs are (Placement): "one" has generator, router and sink on one CPU. Nothing is lost then, and the rate is what a
// packet costs on its whole way: best for ratios, and for machines with one CPU. "apart" gives the router, and the sink, a CPU
// of their own: that is for loss and latency, and for systems that are processes (weft soft).
//
// # Tests
//
//	mrr         packets a second at saturation (maximum receive rate), one CPU for all
//	throughput  NDR (no loss) and PDR (0.5 % lost), RFC 2544 26.1, apart: see package search
//	loss        share lost from 10 % to 120 % of PDR, RFC 2544 26.3
//	backtoback  longest burst without loss, RFC 2544 26.4, RFC 9004
//	latency     p50, p99, p99.9 at 10, 50 and 90 % of PDR, RFC 8219 7.2
//	cost        of the generator alone, of generator and sink without a router: the floor of all others
//
// Frame sizes are of the whole Ethernet frame with its checksum, as RFC 2544 has them: 64 is 60 bytes on a veth. IPv6 begins at
// 84 (RFC 8219): there is room for a sequence number and a time. imix is 64, 570, 1518 as 7, 4, 1 (RFC 6985); letters of RFC 6985 are
// taken, too.
//
// # The document
//
// result.Document is the only thing that a run makes; tables, pages and lines are views of it. It carries a version (Schema),
// the machine, kernel, versions, seeds and the command line, and for each row its key (test, system, family, size, table, placement),
// the metric with its unit and whether more is better, and all samples in the order in which they were taken. A run that
// was interrupted, or failed, leaves the rows that it has, with the rounds that it has; Document.Partial says that, and why. Who reads it must take fields that he does not know as if
// they were not there. A field that changes its meaning takes a new Schema.
//
// # How to add
//
// A system: an entry of peer.Systems and a type with four methods. A test: an entry of Tests. A metric: a Row with its unit: tables,
// page, benchmark lines and compare take it from there. A feature of weft that costs something is a system, too: weft_xdp with
// that feature on, beside weft_xdp: its ratio is the feature's tax.
package bench
