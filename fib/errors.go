package fib

import "errors"

// Errors of this package. What is returned wraps one of them and names the
// prefix, group or image that it is about; nothing has changed then.
var (
	ErrFull        = errors.New("image is full")
	ErrPrefix      = errors.New("not a usable prefix")
	ErrAddress     = errors.New("not a usable address")
	ErrNoRoute     = errors.New("no such route")
	ErrNoVRF       = errors.New("no such VRF")
	ErrNoGroup     = errors.New("no such next-hop group")
	ErrNoAdjacency = errors.New("no such adjacency")
	ErrGroup       = errors.New("not a usable next-hop group")
	ErrAdjacency   = errors.New("not a usable adjacency")
	ErrInUse       = errors.New("still in use")
	ErrSize        = errors.New("not a usable image size")
	ErrNotImage    = errors.New("not a FIB image")
	ErrByteOrder   = errors.New("image of a machine with another byte order")
	ErrVersion     = errors.New("image of another version")
	ErrTruncated   = errors.New("image is truncated")
	ErrCorrupt     = errors.New("image is corrupt")
)
