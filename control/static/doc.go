// Package static makes a configuration's routes and neighbors work: it is the Sink
// of package config.
//
// # One change
//
//	config.Store -> Source.Replace -> Follower.Update -> rib.RIB, one publication
//	                               -> kernel: permanent neighbors
//
// Routes name links and VRFs, which come and go: what names one that is not there
// waits for it (Waiting), and is given again when it comes, also under another
// number. A route with several next hops goes on with those whose links are there.
//
// Neighbors are the kernel's: they are permanent entries of weft's protocol there
// (NDA_PROTOCOL 119), which a later daemon finds again and removes when nobody
// wants them any more. Those of others are not touched.
//
// What is not here: routes in the kernel's tables.
package static
