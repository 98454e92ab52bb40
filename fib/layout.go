package fib

import (
	"unsafe"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -type fib_header -type fib_line -type fib_vrf -type fib_route -type fib_members -type fib_member -type fib_adjacency -type fib_image -type fib_entry -type fib_table -type fib_route_tail -type fib_group_word -type fib_group_kind -type fib_group_mode -type fib_adjacency_state layout ../bpf/layout.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../bpf/include -idirafter /usr/include/x86_64-linux-gnu

// Names of the layout as the code of this package says them. The values come
// from bpf/include/weft/types.h by way of bpf2go.
const (
	version    = uint32(layoutFibImageFIB_VERSION)
	unitSize   = int(layoutFibImageFIB_UNIT)
	headerSize = uint32(layoutFibImageFIB_HEADER_SIZE)
	tailSize   = uint32(layoutFibImageFIB_TAIL_SIZE)
	stepsMax   = int(layoutFibImageFIB_STEPS_MAX)

	kindShift      = uint32(layoutFibEntryFIB_KIND_SHIFT)
	kindWide       = uint32(layoutFibEntryFIB_KIND_WIDE)
	kindNarrow     = uint32(layoutFibEntryFIB_KIND_NARROW)
	kindLine       = uint32(layoutFibEntryFIB_KIND_LINE)
	kindLow        = uint32(layoutFibEntryFIB_KIND_LOW)
	offsetMask     = uint32(layoutFibEntryFIB_OFFSET_MASK)
	wideOffsetMask = uint32(layoutFibEntryFIB_WIDE_OFFSET_MASK)
	strideMask     = uint32(layoutFibEntryFIB_STRIDE_MASK)
	narrowMask     = uint32(layoutFibEntryFIB_NARROW_STRIDE_MASK)
	stepStride     = int(layoutFibImageFIB_STRIDE_LEAST)

	lineKeys  = int(layoutFibEntryFIB_LINE_KEYS)
	lineSlots = lineKeys + 1

	tableShift = uint32(layoutFibTableFIB_TABLE_SHIFT)

	tailGroupShift = uint32(layoutFibRouteTailFIB_TAIL_GROUP_SHIFT)
	tailVRFShift   = uint32(layoutFibRouteTailFIB_TAIL_VRF_SHIFT)
	tailLenShift   = uint32(layoutFibRouteTailFIB_TAIL_LEN_SHIFT)
	tailIPv4       = uint64(layoutFibRouteTailFIB_TAIL_IPV4)
	tailIPv6       = uint64(layoutFibRouteTailFIB_TAIL_IPV6)
	pageRoutes     = uint32(layoutFibRouteTailFIB_PAGE_ROUTES)
	pageSize       = 4096

	groupKindShift = uint32(layoutFibGroupWordFIB_GROUP_KIND_SHIFT)
	groupLogShift  = uint32(layoutFibGroupWordFIB_GROUP_LOG_SHIFT)
	groupAuxShift  = uint32(layoutFibGroupWordFIB_GROUP_AUX_SHIFT)

	vrfSize = uint32(unsafe.Sizeof(layoutFibVrf{}))

	lineLeafOffset = uint32(unsafe.Offsetof(layoutFibLine{}.Leaf))
	lineIvsOffset  = uint32(unsafe.Offsetof(layoutFibLine{}.Intervals))

	routeSize     = uint32(unsafe.Sizeof(layoutFibRoute{}))
	routeTail     = uint32(unsafe.Offsetof(layoutFibRoute{}.Tail))
	lineSize      = uint32(unsafe.Sizeof(layoutFibLine{}))
	adjacencySize = uint32(unsafe.Sizeof(layoutFibAdjacency{}))

	offMagic       = uint32(unsafe.Offsetof(layoutFibHeader{}.Magic))
	offVersion     = uint32(unsafe.Offsetof(layoutFibHeader{}.Version))
	offHashSeed    = uint32(unsafe.Offsetof(layoutFibHeader{}.HashSeed))
	offSize        = uint32(unsafe.Offsetof(layoutFibHeader{}.Size))
	offGeneration  = uint32(unsafe.Offsetof(layoutFibHeader{}.Generation))
	offVRFs        = uint32(unsafe.Offsetof(layoutFibHeader{}.Vrfs))
	offGroups      = uint32(unsafe.Offsetof(layoutFibHeader{}.Groups))
	offAdjacencies = uint32(unsafe.Offsetof(layoutFibHeader{}.Adjacencies))
	offPages       = uint32(unsafe.Offsetof(layoutFibHeader{}.Pages))
)

// The layouts are those of C: a build on which they differ does not compile.
var (
	_ [headerSize]byte = [unsafe.Sizeof(layoutFibHeader{})]byte{}
	_ [64]byte         = [unsafe.Sizeof(layoutFibLine{})]byte{}
	_ [24]byte         = [unsafe.Sizeof(layoutFibRoute{})]byte{}
	_ [64]byte         = [unsafe.Sizeof(layoutFibAdjacency{})]byte{}
	_ [8]byte          = [unsafe.Sizeof(layoutFibVrf{})]byte{}
	_ [8]byte          = [unsafe.Sizeof(layoutFibMembers{})]byte{}
	_ [8]byte          = [unsafe.Sizeof(layoutFibMember{})]byte{}
)
