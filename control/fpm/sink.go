package fpm

import (
	"context"

	"weft/control/kernel"
)

// Sink takes what the peer says: the RIB. One goroutine at a time calls it.
type Sink interface {
	// Apply makes the changes of a batch, in the order of its fields, publishes
	// them, and returns when every engine sees them. It sets Became of the routes.
	// The batch is the caller's again when it returns.
	//
	// Errors end the server.
	Apply(ctx context.Context, b *Batch) error
}

// Batch is a set of changes. Numbers of next-hop objects are the server's: they
// have nothing to do with the kernel's, nor does a number ever mean something else.
type Batch struct {
	NextHops []kernel.NextHop // new ones, or changed
	Routes   []Change
	Gone     []uint32 // next-hop objects; routes that still name one lead nowhere
}

// Change is a route that the peer has, instead of whatever it had for that prefix
// and table, or one that it has no more.
type Change struct {
	Route  kernel.Route // of one that is gone: Prefix and Table
	Gone   bool
	Became State // of one that is not gone; set by the Sink
}

// State is what has become of a route.
type State uint8

// States.
const (
	NotInstalled State = iota // packets do not find it
	Installed
	Parked // nor do they, as its table is not known: the Sink wants to be told again
)
