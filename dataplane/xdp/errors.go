package xdp

import "errors"

// Errors of this package. What is returned wraps one of them and names the port
// or directory that it is about.
var (
	ErrExists   = errors.New("already pinned: open or stop it first")
	ErrNotFound = errors.New("nothing pinned there")
	ErrForeign  = errors.New("port has an XDP program that is not weft's")
	ErrPort     = errors.New("not a usable port")
	ErrNoPort   = errors.New("no such port")
	ErrClosed   = errors.New("engine is closed")
	ErrProgram  = errors.New("the kernel refuses a program that is needed")
	ErrLayout   = errors.New("pinned maps are of another format")

	ErrForeignPin = errors.New("pins are not weft's")
)
