// Package fabric has tests of `weft lab up leaf-spine`: four leaves and two spines that learn their routes by eBGP
// unnumbered, of weft itself and of FRR, with weft forwarding in each.
//
// Under traffic with sequence numbers a spine loses its daemons, and then its power, and gets them back. What is lost is
// told; that nothing is lost but when the power goes is asserted.
package fabric
