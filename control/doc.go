// Package control decides what the FIB holds. Its Follower mirrors one network
// namespace: it listens to the kernel (package kernel), keeps what it hears
// (package rib), and so keeps the image.
//
// # One change
//
//	kernel -> Watcher -> Follower.take -> rib.RIB -> fib.Image -> Publish
//
// Other sources (FPM, static routes, BGP) hand over batches with Update, which tells
// them when a batch is published: there RIB.State says for each route whether it
// is installed. What weft itself wants of them (static routes, BGP) package export
// programs into the kernel.
//
// # All of it
//
// At the start the Follower subscribes, then dumps, then works off what has
// arrived meanwhile, so that nothing falls between. It does the same whenever it
// may have missed something: the receive buffer ran over, a dump was interrupted
// three times, or something happened upon which the kernel changes routes without
// a word (a link went down or came up, an IPv4 address went), or a prefix has two
// entries of one metric, as it can seem when changes from before a dump are told
// behind it. Forwarding goes on
// during that; what is equal is not written. Dumps come at most so often that
// they take a fifth of the time.
//
// Changes do not wait for the end of a dump, which takes seconds for a million routes.
// Routes are taken when they change, and once more at the end, behind what the dump
// shows of their prefix from then on (rib.Retake): it may be older or newer. While IPv6 routes go,
// Linux leaves out others that it should show: it is asked up to three times, what was seen
// lately stays, and all is read again later. Only when a next-hop
// object goes meanwhile, with routes of which the kernel says nothing, what comes behind it waits.
// That end, the end of the routes of an object, and routes of weft's own whose link has gone may
// be a million prefixes: they are worked off some thousands at a time, and changes, sources and
// those who ask have their turn in between.
// Counts.Rereading tells that all is read again, or is about to be, and why.
//
// With the Internet table (1,062,046 routes) the image is filled 2.5 s after Open,
// of which 0.8 s are the kernel's dumps (go test ./control -run xxx -bench
// FollowerSync). While a daemon fills the kernel at full speed the image is 2 s
// behind at the end, one overrun included (-bench FollowerChurn). With 1,160,000
// routes, of which 10,000 change a second, under traffic, 99 % of the changes are published 8 ms
// after the kernel was given them, one synchronization in between included
// (WEFT_SOAK=1 go test ./test/scale -run Churn -v).
//
// # Verification
//
// Verify compares prefix by prefix what the kernel, the RIB, the image and the live program say.
// The kernel is asked anew, for both families at once, and of each route only a digest is kept;
// the program is asked about 65,536 addresses in one test run. What differs, because of a change
// in between or else, is then compared again in one go, when neither RIB nor image changes.
// 1,160,000 prefixes take 2.6 s under traffic (WEFT_SOAK=1 go test ./test/scale -run - -bench Verify).
//
// # Neighbors
//
// Packets that XDP forwards do not tell the kernel that a neighbor is in use. Its
// entry goes from reachable to stale, and the kernel would never find out that
// the neighbor has gone. So, every few seconds, the Follower tells the kernel of
// each stale neighbor that routes or hosts lead to that it is in use (NTF_USE):
// the kernel then asks it, as it does for its own packets, and the entry becomes
// reachable or fails. The only entries that weft writes are the permanent ones of the
// configuration (package static).
//
// # Policy routing
//
// The FIB knows destinations only. While a family has rules ('ip rule') that choose
// among tables by more than that, its packets are left to the kernel: all links
// count as not forwarding it.
//
// What is not here: ports and programs (package dataplane), which the owner
// brings along as Ports and Grow.
package control
