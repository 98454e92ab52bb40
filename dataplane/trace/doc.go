// Package trace is what people see of packets on their way: which ones they want
// (Selection), and what became of each (Record), for both engines.
//
// One packet, by the XDP engine: a program that was made for it takes the place of the
// usual one, by one link update for each port; the filter is a function of it. What passes is
// copied before the program works on it, and when it is known what becomes of the packet, that
// goes with the copy into a ring that is read here. When the last Session ends, the usual
// program comes back, in which there is nothing of this: what is off costs nothing. A daemon that
// dies leaves the other one, and the next puts the usual one in its place.
//
// By the loop: it looks once a vector whether there is a Tap. If so, the filter runs in Go on each
// packet, and what the stages decide is noted.
//
// How many packets a Session gets is counted where packets are, by both engines in the same
// memory: so it gets no more, and once it has them nothing is copied any more. A packet for which there is no
// room, as its reader is too slow, is forwarded as ever, and counted as lost (Session.Lost).
//
// The package does not load programs, which package xdp does, and decides nothing.
package trace
