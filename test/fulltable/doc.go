// Package fulltable gives tests and benches a real Internet routing table and traces of destinations to look up in it.
//
// The table is the one in package testdata; next hops are drawn at random for each prefix, which is the worst case for
// any table that compresses neighbours with the same next hop. Three traces stand for three kinds of traffic: zipf (few
// destinations take most packets), pfx (every prefix equally likely) and uni (every address equally likely; IPv4 only,
// since almost all of the IPv6 space is unrouted and a uniform trace there would measure misses).
//
// Everything is a function of the seed: the same seed gives the same table and traces on every machine.
package fulltable
