// Package bgp tests weft as a BGP router between Debian's routers: the program as its users
// run it, in the router of package star. FRR, BIRD and others are its neighbors, in the hosts
// behind it, and packets go through it by what they have announced.
package bgp
