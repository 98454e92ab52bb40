// Package bgp makes weft a BGP router: GoBGP, as a library, speaks with neighbors and
// chooses paths; weft takes what it has chosen into the RIB, and gives it the
// routes that are to be advertised.
//
// # One route
//
//	neighbor -> GoBGP: import policies, Loc-RIB, best path
//	         -> Server: latest state of each prefix, batches -> Follower.Update -> rib.RIB
//	         -> package export: the kernel
//
// No GoBGP type leaves this package, no GoBGP API is open to the network, and what
// GoBGP logs goes through weft's log.
package bgp
