package main

import (
	"context"
	"fmt"

	"github.com/cilium/ebpf"

	"weft/bpf"
	"weft/fib"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types weft bpf/weft.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../../bpf/include -idirafter /usr/include/x86_64-linux-gnu

// imageSize holds the full table in either layout, records included.
const imageSize = 64 << 20

var weftBPF = source{
	name: "weft in BPF", root: true, open: openWeftBPF,
	rows: append(lookupRows("bpf", []string{"dep", "ind"}, []string{"weft", "weft_compact"})),
}

// routes is the table as fib takes it; groups are numbered as next hops are.
func (t *table) routes() []fib.Route {
	all := make([]fib.Route, 0, len(t.ipv4)+len(t.ipv6))
	for i, p := range t.ipv4 {
		all = append(all, fib.Route{Prefix: p, Group: fib.GroupID(t.hops4[i])})
	}
	for i, p := range t.ipv6 {
		all = append(all, fib.Route{Prefix: p, Group: fib.GroupID(t.hops6[i])})
	}
	return all
}

// fillImage makes an image in mem with groups 1 to 255 and the routes.
func fillImage(mem []byte, routes []fib.Route, opts fib.Options) (*fib.Image, fib.Table, error) {
	im, err := fib.Create(mem, opts)
	if err != nil {
		return nil, fib.Table{}, err
	}
	for range 255 {
		if _, err := im.AddGroup(fib.Group{Kind: fib.Local}); err != nil {
			return nil, fib.Table{}, err
		}
	}
	tab, err := im.Table(0)
	if err == nil {
		_, err = tab.Replace(routes)
	}
	return im, tab, err
}

func openWeftBPF(_ context.Context, s *setup) (*contest, error) {
	c := new(contest)
	for name, opts := range map[string]fib.Options{"weft": {}, "weft_compact": {Compact: true}} {
		mem, err := bpf.NewImage(imageSize)
		if err != nil {
			return nil, err
		}
		if _, _, err := fillImage(mem.Mem(), s.table.routes(), opts); err != nil {
			return nil, err
		}
		spec, err := loadWeft()
		if err != nil {
			return nil, err
		}
		maps, err := mem.Use(spec)
		if err != nil {
			return nil, err
		}
		coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: maps})
		if err != nil {
			return nil, fmt.Errorf("load weft's lookup: %w", err)
		}
		engines, err := bpfEngines(coll, map[string]string{"weft": name})
		if err != nil {
			return nil, err
		}
		c.engines = append(c.engines, engines...)
	}
	return c, nil
}
