// Package fpm tests the whole router with routes that come from FRR over its forwarding
// plane manager protocol: from Debian's zebra with bgpd, ospfd and staticd in network
// namespaces, and from a peer of the tests' own for what zebra does not do.
//
// FRR also programs the kernel, as it does for its users: the image and the kernel are
// to agree, and where FRR or weft is killed there is always one that forwards.
package fpm
