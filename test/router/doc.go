// Package router tests weft as its users meet it: the program, in network
// namespaces, between hosts.
//
// Each test has three hosts around one router, h1 which sends, h2 and h3 which
// receive (newNetwork). What must hold after every test is asserted for all of
// them: what came in by a port is what weft forwarded, punted and dropped there,
// kernel and FIB agree (weft verify), and `weft stop` leaves nothing.
package router
