// Package star is the network of whole-router tests: hosts h1 which sends, h2 and
// h3 which receive, and a router between them in which the program itself runs, as
// its users meet it. Each is a network namespace (New).
//
// What must hold after every test is asserted when it ends (Finish): what came in by a
// port is what weft forwarded, punted and dropped there, weft itself has found nothing
// unaccounted, kernel and FIB agree (weft verify), and `weft stop` leaves nothing.
package star
