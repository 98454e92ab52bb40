package fib_test

import (
	"fmt"
	"net/netip"

	"weft/fib"
)

func Example() {
	// Memory for BPF comes from bpf.NewImage; a slice serves Go alone.
	im, err := fib.Create(make([]byte, 1<<20), fib.Options{})
	if err != nil {
		panic(err)
	}
	peer, err := im.AddAdjacency(fib.Adjacency{Port: 1, MTU: 1500})
	if err != nil {
		panic(err)
	}
	group, err := im.AddGroup(fib.Group{Kind: fib.Forward, Members: []fib.Member{{Adjacency: peer, Weight: 1}}})
	if err != nil {
		panic(err)
	}
	table, err := im.Table(0)
	if err != nil {
		panic(err)
	}
	for _, p := range []string{"192.0.2.0/24", "192.0.2.128/25", "198.51.100.0/24"} {
		if err := table.Insert(netip.MustParsePrefix(p), group); err != nil {
			panic(err)
		}
	}
	fmt.Println(table.Explain(netip.MustParseAddr("192.0.2.200")))
	// Output:
	// 1 line   bits 0-32 at 0x20c0: entry 2
	// 192.0.2.200: 192.0.2.128/25, group 1
}
