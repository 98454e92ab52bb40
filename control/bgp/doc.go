// Package bgp makes weft a BGP router: GoBGP, as a library, speaks with neighbors and
// chooses paths; weft takes what it has chosen into the RIB, and gives it the
// routes that are to be advertised.
//
// # One route
//
//	neighbor -> GoBGP: import policies, Loc-RIB, best path
//	         -> feed: latest state of each prefix, batches -> Follower.Update -> rib.RIB
//	         -> package export: the kernel
//	rib.RIB  -> originator: connected, static, kernel routes -> GoBGP: export policies -> neighbor
//
// The feed holds what the RIB has not been given yet, one entry for each prefix however
// often it changes, and nothing of what it has: paths are GoBGP's alone. So a full
// table that comes faster than it is installed costs a map, and nothing is lost. With
// ECMP (maximum_paths) each path is a candidate of its own, told apart by its Origin,
// which the RIB makes one route of. 1,062,046 prefixes of one neighbor are in the RIB
// after 15.5 s, in GoBGP alone after 17.0 s, with 11 and 12 s of a core and 1,530 and 940 MB
// (go test ./control/bgp -run xxx -bench Table; on two busy cores, which the sender shares).
//
// No GoBGP type leaves this package, no GoBGP API is open to the network, and what
// GoBGP logs goes through weft's log: its information as detail, and all of it bounded.
//
// # Next hops
//
// They are resolved by the RIB, recursively, and tracked there: a link or a route that goes
// reroutes without GoBGP. GoBGP 4.8 learns from zebra only that a next hop leads nowhere, and
// takes zebra's distance for the MED then; it has no other way in. So weft refuses such paths
// by an import policy (nexthop.go): the next best path comes in their place, and nobody is
// told of them any more. That is done when a path was chosen, and the RIB has found that it leads nowhere, within
// a second or two; with a full table GoBGP looks at all paths for it, which takes seconds,
// and is done a tenth of the time at most. Such paths are shown as filtered. Attached external
// neighbors do not need it: their sessions end with their interface (failover.go), and
// their paths with them.
//
// A link-local next hop is on the link of the neighbor that tells it, and so is that of an
// external unnumbered neighbor, whatever it tells. IPv4 prefixes may
// have IPv6 next hops (RFC 8950): GoBGP offers that to all neighbors. IPv6 prefixes have
// our IPv6 address towards a neighbor when the session is over IPv4; where there is
// none, they are not advertised.
//
// # What is shown
//
// Status costs microseconds whatever there is: prefixes are counted as they come. Paths
// are not, and GoBGP does not tell how many of a neighbor's are behind the import policies
// (what it calls accepted is before them). Neighbors asks GoBGP how many paths there are: if that
// is the sum of what neighbors have sent and weft advertises, none was refused. Else it looks at
// all paths, but nobody waits longer than a second: what was counted before is told then
// (census.go). Paths, and that count, ask GoBGP for 512 prefixes at a time, whose names
// come from the RIB: with 1,000,000 the status takes 0.02 ms, neighbors 0.2 to 0.5 s (with a count of all
// paths 7 s), all paths in order 6 to 8 s and 70 to 140 MB more, those a neighbor has sent 15 to 35 s and 270 MB more,
// which GoBGP copies (go test ./control/bgp -run xxx -bench Show -benchtime 1x; on two busy cores).
//
// # Unnumbered neighbors
//
// A neighbor of which only the interface is known is found by its router advertisements,
// as FRR does, and weft sends some itself, with a lifetime of 0, so that it is found and
// nobody's default router (advertise.go). Where nobody advertises, the only
// entry of the kernel's neighbor table is taken. The session ends when the interface goes,
// loses its carrier or its link-local address; another router is taken when the session
// with the one before is not up.
//
// # Restart
//
// Neighbors take the end of a daemon without a word (kill, SIGTERM) for a restart
// (RFC 4724); packets go on, by the pins and by the kernel's routes of protocol 119, which
// are candidates until a route of BGP comes in their place. The next daemon tells neighbors
// that it has restarted and has kept forwarding, and does not advertise before they have
// sent all they have, or the deferral time is over. Then Synced is closed: only then what
// is left of the routes before is withdrawn. `weft stop` tells neighbors that it ends.
//
// GoBGP waits for those neighbors only that preserve forwarding themselves, as RFC 4724
// has it by the families in their capability. Of others it is taken that they have sent all when they
// have been up for five seconds (Synced), but GoBGP ends its own restart as soon as they
// are up.
//
// # Policies
//
// They are GoBGP's, with the keys of its configuration file. GoBGP knows one list each way
// for all neighbors but route server clients. So policy.go compiles what single neighbors,
// networks and redistribution have into one policy each way, whose statements ask for the
// neighbor, or for a large community that marks what is advertised for which
// reason. Nobody but GoBGP sees those marks. Two unnumbered neighbors with the same link-local
// address, on two links, have each other's policies.
//
// # Limits
//
// maximum_prefixes is weft's: GoBGP would count all that a neighbor has sent with each of its messages.
// weft counts five times a second, or, where that takes long, a fiftieth of the time. So a neighbor
// may be some thousand prefixes over its limit before its session ends (limit.go).
//
// # Changes
//
// Neighbors come, go and change without the sessions of others. Policies, timers, limits
// and what is advertised change without ending any session; AS, identifier, listening
// addresses and maximum_paths take another life of GoBGP, and so all sessions
// (config.BGP.Restarts). GoBGP checks policies before anything changes.
//
// # Rights
//
// CAP_NET_BIND_SERVICE for port 179, CAP_NET_RAW for router advertisements, and
// CAP_NET_ADMIN for TCP MD5 are needed besides those of a daemon without BGP.
//
// What is not here: VRFs but the default one, BFD, RPKI, confederations, route servers.
package bgp
