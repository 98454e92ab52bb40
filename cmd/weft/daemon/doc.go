// Package daemon puts a router together: engine and image, the ports, the
// Follower that fills the image from the kernel, and the API.
//
// What forwards is pinned, so it goes on when the daemon is killed. A daemon
// that starts takes over what it finds, and brings it up to date; it builds anew
// only beside what forwards.
package daemon
