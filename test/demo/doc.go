// Demo shows weft's main job to someone new, in about a minute: `make run`.
//
// It makes two hosts and a router in network namespaces, gives the router's kernel the whole Internet table, sends
// traffic from host to host through Linux and then, while it runs, through weft; asks weft why a packet goes where it
// goes and what it dropped; kills the daemon and counts lost packets by their sequence numbers; and removes everything.
//
// Whatever it tells it has measured in this run, by what is not weft: packets are counted by the sender and by the
// receiver, and which of them Linux forwarded by the kernel's own counters (RFC 4293). What weft says of itself comes
// from the commands that an operator would type.
//
// Traffic, router and receiver share one core; the demo, the loading of routes and weft's daemon have the others.
package main
