// Package bird tests weft beside BIRD, which programs the kernel: the program as its
// users run it, in the router of package star, where the hosts behind it are neighbors
// that speak BGP and OSPF and announce what packets go to.
package bird
