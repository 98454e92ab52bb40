package fib

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// haveAVX512 chooses the assembly step of batches. Tests clear it.
var haveAVX512 = cpu.X86.HasAVX512F && cpu.X86.HasBMI1 && cpu.X86.HasPOPCNT

// lanes is how many lookups the assembly step takes at once; with fewer than
// lanesLeast it does not pay.
const (
	lanes      = 64
	lanesLeast = 16
)

//go:noescape
func walk4AVX512(base unsafe.Pointer, root uint32, dst *uint32, n int, out *GroupID)

//go:noescape
func walk6AVX512(base unsafe.Pointer, root uint32, dst *Addr6, n int, out *GroupID) (any bool)

// lanes4 looks up as many addresses as it pays to, and returns how many.
func (im *Image) lanes4(root uint32, dst []uint32, out []GroupID) int {
	n := len(dst) &^ (lanes - 1)
	if !haveAVX512 {
		return 0
	}
	if n > 0 {
		walk4AVX512(im.base, root, &dst[0], n, &out[0])
	}
	if rest := dst[n:]; len(rest) >= lanesLeast {
		var in [lanes]uint32
		var groups [lanes]GroupID
		copy(in[:], rest)
		walk4AVX512(im.base, root, &in[0], lanes, &groups[0])
		n += copy(out[n:], groups[:len(rest)])
	}
	return n
}

// lanes6 is lanes4 for IPv6.
func (im *Image) lanes6(root uint32, dst []Addr6, out []GroupID) int {
	n := len(dst) &^ (lanes - 1)
	if !haveAVX512 {
		return 0
	}
	if n > 0 && walk6AVX512(im.base, root, &dst[0], n, &out[0]) {
		im.finish6(root, dst[:n], out)
	}
	if rest := dst[n:]; len(rest) >= lanesLeast {
		var in [lanes]Addr6
		var groups [lanes]GroupID
		copy(in[:], rest)
		if walk6AVX512(im.base, root, &in[0], lanes, &groups[0]) {
			im.finish6(root, rest, groups[:])
		}
		n += copy(out[n:], groups[:len(rest)])
	}
	return n
}

// finish6 looks up again what the assembly step has left.
func (im *Image) finish6(root uint32, dst []Addr6, out []GroupID) {
	for i := range dst {
		if !isLeaf(uint32(out[i])) {
			out[i] = im.walk(root, dst[i].Hi, dst[i].Lo)
		}
	}
}
