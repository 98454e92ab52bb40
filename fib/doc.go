// Package fib is the forwarding information base: routes, next-hop groups and
// adjacencies in one block of memory, the image, which one writer changes and
// any number of readers follow without locks: BPF programs, the userspace loop
// and tools. It does no I/O: the memory is a mapped array map (package bpf), or
// an ordinary slice in tests.
//
// # One lookup
//
// A VRF has two roots, one for each family, which follow the image's header.
// A root is an entry, as all that a lookup steps on: a 32-bit word that is
// either a leaf, the number of a next-hop group, or the way to a node:
//
//	wide    2^stride entries, indexed by the next stride bits of the address
//	narrow  16 or 256 leaves of 16 bits, indexed by the next 4 or 8 bits: where
//	        the Internet's /24s end
//	line    one cache line: up to 11 intervals over the next 32 bits, found by
//	        counting the keys up to the address, without a branch
//	low     on to the low half of an IPv6 address
//
// So an address takes wide nodes for as long as there are any, and then at most
// one node of another kind. Strides are multiples of 4 from 4 to 20 and chosen
// for what is in the table: the root of the Internet's IPv4 table has 16 bits,
// and one more node tells nearly all of its prefixes apart; a VRF with ten
// routes is one line, an empty one a leaf. Group numbers over 65,535 do not
// fit the leaves of narrow nodes and lines: such routes stand in wide nodes.
//
// The group's word says what becomes of the packet. With several members it
// leads to a table of buckets, a power of two, that the flow hash indexes;
// bucket and single member name an adjacency, whose block has the egress port
// and the new L2 header. Next and Adjacency do this in Go, fib.h in BPF.
//
// # One change
//
// New nodes, bucket tables and adjacencies are written where no reader can be,
// and become visible by one aligned store of the word that leads to them. Where
// a prefix has several slots, each is stored by itself: an address is answered
// as before or as after, never otherwise. What was replaced is given back when a
// grace period has passed (Grace).
//
// The writer knows for each leaf the length of the prefix that it comes from.
// To insert, replace or delete a route is therefore one walk over the slots of
// its prefix that gives a new answer to those whose answer is not from a longer
// one (paint.go). A trie that has doubled, or shrunk to a quarter, since it was
// built is built again beside and published by one store. In between only small
// nodes change their shape: two levels of 4 bits that fill up become one of 8.
//
// Routes point to groups and groups to adjacencies by number. Changing a group
// or an adjacency is one store, however many prefixes lead to it.
//
// # Crash, restart, growth
//
// The image always says enough for the next writer: each route has a record, in
// pages that readers never touch. Open surveys an image without trusting it,
// rebuilds the allocator and the index of the records, and compares the tries
// with what the routes come to, which repairs what a writer left that died
// between two stores; until then readers get, for each address, the answer of
// before or after the change that was under way.
//
// An image does not grow in place. ErrFull means that nothing has changed; the
// owner copies the image into a larger one (CopyTo), lets readers change over,
// and tries again. The same gives memory back. An owner that cannot have more
// memory must see to it that the addresses of a route that is not installed do
// not follow a shorter one: by a Punt group for it, or for what covers it. For that,
// and for changes of what there is, new routes leave some memory (Options.Reserve).
//
// # Designs
//
// Measured by `make bench-designs` on the development machine (2 shared cores
// of an AMD Zen 4, kernel 6.18, 4 KiB pages behind array maps), full table with
// a random next hop for each prefix; ns a lookup in BPF, dependent / independent.
// Other guests share the third-level cache: figures move by a third and more
// from run to run, so compare within a table only.
//
//	IPv4                                       MiB   zipf         pfx          uni
//	weft, fast                                  8.2  24.2 / 7.1   46.5 / 10.8  35.2 / 13.3
//	weft, compact: narrow nodes of 4 bits       5.7  29.7 / 9.7   55.5 / 10.9  31.3 / 14.5
//	flat 24-8, 16-bit entries                  32.2  12.8 / 2.4   46.5 / 6.5   138  / 10.6
//	flat 16-8-8, 16-bit entries                12.7  17.5 / 4.1   48.4 / 8.6   55.9 / 11.7
//	16-bit root + 256-bit leaf vectors          3.3  31.8 / 10.2  41.4 / 11.6  27.5 / 8.5
//	18-bit root with 64-bit vectors in it       6.1  27.6 / 8.2   36.4 / 8.9   46.4 / 9.1
//	floor: one random load in 16 MiB                 20.3 / 3.4   115  / 8.6   121  / 8.9
//
//	IPv6
//	weft, fast                                  7.6  32.8 / 21.8  56.0 / 28.3
//	weft, compact                               2.7  41.6 / 27.5  54.4 / 34.2
//	strides of 4 bits, no lines                 6.2  53.9 / 30.4  94.9 / 43.7
//	strides of 8 bits as bit vectors            2.7  65.6 / 44.4  77.2 / 49.0
//	21-bit root + branch-free binary search    10.1  69.2 / 40.1  85.9 / 45.9
//	hashing, binary search on the length        8.1  44.9 / 33.3  104  / 42.5
//
// The other designs are static tables without VRFs: what an update, a VRF or a
// long prefix in the wrong place costs is not in their figures.
//
// For IPv6 nothing else comes near: lines end most paths after the
// third or fourth load, where plain strides take six to eight. For
// IPv4 the flat 24-8 table is the fastest where traffic has locality and four
// times slower where it has none, at three times the memory; leaf vectors are
// the reverse. What decides is how many cache lines that are not in the cache a
// lookup needs. A root of 16 bits (256 KiB) stays in the second-level cache, so
// a narrow node of 8 bits below it is one line, as in the flat table; in the
// sparse /16s, which have most of the address space and few of the prefixes, a
// line or narrow nodes of 4 bits keep the whole small. An earlier form, a
// root of 20 bits over narrow nodes of 4, needed two. The rest of the distance to flat 16-8-8
// is the choice between kinds of nodes, which is what lets one structure hold
// both families, any VRF and any shape of table.
//
// What did not pay: telling leaves and narrow nodes apart without a branch in
// BPF (in Go's portable batches it does); a counted loop over the nodes in BPF;
// image size and layout as variables in .rodata instead of constants that the
// loader writes into the instructions (a load each, at five places).
//
// # What it does not do
//
// It does not choose between routes to a prefix, resolve gateways or talk to
// the kernel: package control does.
package fib
