// Package soft is the engine that forwards in Go: a loop that takes packets in vectors
// of up to 256 through a few stages, each of which works on the whole vector.
//
// What it works on, and how packets come in and go out, is package device.
package soft
