// Package model is a router that is slow and obvious: what weft and Linux must do
// with a packet, written from the RFCs, each rule beside its section. Everything
// else is compared with it.
//
// A State is what a router knows: ports, addresses, routes, neighbors. Forward
// takes a frame that came in by a port and says what becomes of it in weft (its
// reason, and when it is forwarded the port it leaves by and its bytes) and what
// Linux does with the same frame: sends it on, answers with an ICMP error, takes it
// itself, or drops it. What weft punts, Linux finishes. Where weft forwards or drops
// and Linux would do otherwise, that is one of Differences, with its reason.
//
// The model searches all routes for each packet and computes every checksum in
// full. It shares no code with an engine but the names of reasons and the flow
// hash, whose twins package fib compares.
package model
