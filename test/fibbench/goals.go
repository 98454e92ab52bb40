package main

import "fmt"

// relation says how a row compares with its peer, or with a limit alone.
type relation int

const (
	timesFaster relation = iota // peer / row is at least the limit: row and peer in ns
	within                      // row / peer is at most the limit
	atMost                      // row is at most the limit
	atLeast                     // row is at least the limit
)

// goal is one thing that weft claims. Without a peer it is about the row alone, in the row's unit.
type goal struct {
	row, peer string
	relation  relation
	limit     float64
}

func (g goal) String() string {
	switch g.relation {
	case timesFaster:
		return fmt.Sprintf(">= %gx faster", g.limit)
	case within:
		return fmt.Sprintf("<= %gx", g.limit)
	case atMost:
		return "<= " + quantity(g.limit)
	default:
		return ">= " + quantity(g.limit)
	}
}

// ratio is what the limit is held against, in one round.
func (g goal) ratio(row, peer float64) float64 {
	switch g.relation {
	case timesFaster:
		return peer / row
	case within:
		return row / peer
	default:
		return row
	}
}

func (g goal) met(ratio float64) bool {
	if g.relation == timesFaster || g.relation == atLeast {
		return ratio >= g.limit
	}
	return ratio <= g.limit
}

// goals returns them all, whether the run has their rows or not.
func goals() []goal {
	var gs []goal
	add := func(row, peer string, r relation, limit float64) {
		gs = append(gs, goal{row, peer, r, limit})
	}
	for _, trace := range []string{"zipf", "pfx", "uni"} {
		dep, ind := rowName("bpf", "ipv4", "dep", trace, ""), rowName("bpf", "ipv4", "ind", trace, "")
		add(dep+"weft", dep+"fib_lookup", timesFaster, 10)
		add(dep+"weft", dep+"lpm_trie", timesFaster, 15)
		add(dep+"weft", dep+"floor", within, 1.5)
		add(ind+"weft", rowName("go", "ipv4", "batch", trace, "rte_fib"), within, 1.5)
	}
	for _, trace := range []string{"zipf", "pfx"} {
		dep := rowName("bpf", "ipv6", "dep", trace, "")
		add(dep+"weft", dep+"fib_lookup", timesFaster, 20)
		add(dep+"weft", dep+"lpm_trie", timesFaster, 12)
	}
	add("go/ipv4/single/pfx/weft", "go/ipv4/single/pfx/bart_fast", timesFaster, 2.5)
	add("go/ipv6/single/pfx/weft", "go/ipv6/single/pfx/bart_fast", timesFaster, 1.5)
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, trace := range []string{"zipf", "pfx"} {
			batch := rowName("go", family, "batch", trace, "")
			add(batch+"weft", batch+"rte_fib", within, 1)
		}
	}
	// weft_one is weft with a table of one route: the full table keeps at least 60 % of its rate.
	for _, row := range []string{"bpf/ipv4/dep/zipf/", "bpf/ipv4/ind/zipf/", "bpf/ipv6/dep/zipf/", "bpf/ipv6/ind/zipf/",
		"go/ipv4/batch/zipf/", "go/ipv6/batch/zipf/"} {
		add(row+"weft", row+"weft_one", timesFaster, 0.6)
	}
	add("load/full/weft", "", atMost, 0.5)
	add("update/replace/weft", "", atLeast, 1e6)
	add("switch/900000/weft", "", atMost, 100_000)
	add("switch/900000/weft", "switch/1/weft", within, 1.5)
	add("memory/full/weft", "", atMost, 64<<20)
	add("memory/full/weft_compact", "", atMost, 12<<20)
	return gs
}
