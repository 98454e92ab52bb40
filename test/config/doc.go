// Package config proves what a configuration makes of a whole router, in network
// namespaces: static routes carry packets, a change is all or nothing, and what is
// not confirmed is taken back, also when the daemon is killed.
package config
