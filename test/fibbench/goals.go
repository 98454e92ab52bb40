package main

import report "weft/test/benchreport"

// goals returns them all, whether the run has their rows or not.
func goals() []report.Goal {
	var gs []report.Goal
	add := func(row, peer string, r report.Relation, limit float64) {
		gs = append(gs, report.Goal{Row: row, Peer: peer, Relation: r, Limit: limit})
	}
	for _, trace := range []string{"zipf", "pfx", "uni"} {
		dep, ind := rowName("bpf", "ipv4", "dep", trace, ""), rowName("bpf", "ipv4", "ind", trace, "")
		add(dep+"weft", dep+"fib_lookup", report.TimesFaster, 10)
		add(dep+"weft", dep+"lpm_trie", report.TimesFaster, 15)
		add(dep+"weft", dep+"floor", report.Within, 1.5)
		add(ind+"weft", rowName("go", "ipv4", "batch", trace, "rte_fib"), report.Within, 1.5)
	}
	for _, trace := range []string{"zipf", "pfx"} {
		dep := rowName("bpf", "ipv6", "dep", trace, "")
		add(dep+"weft", dep+"fib_lookup", report.TimesFaster, 20)
		add(dep+"weft", dep+"lpm_trie", report.TimesFaster, 12)
	}
	add("go/ipv4/single/pfx/weft", "go/ipv4/single/pfx/bart_fast", report.TimesFaster, 2.5)
	add("go/ipv6/single/pfx/weft", "go/ipv6/single/pfx/bart_fast", report.TimesFaster, 1.5)
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, trace := range []string{"zipf", "pfx"} {
			batch := rowName("go", family, "batch", trace, "")
			add(batch+"weft", batch+"rte_fib", report.Within, 1)
		}
	}
	// weft_one is weft with a table of one route: the full table keeps at least 60 % of its rate.
	for _, row := range []string{"bpf/ipv4/dep/zipf/", "bpf/ipv4/ind/zipf/", "bpf/ipv6/dep/zipf/", "bpf/ipv6/ind/zipf/",
		"go/ipv4/batch/zipf/", "go/ipv6/batch/zipf/"} {
		add(row+"weft", row+"weft_one", report.TimesFaster, 0.6)
	}
	add("load/full/weft", "", report.AtMost, 0.5)
	add("update/replace/weft", "", report.AtLeast, 1e6)
	add("switch/900000/weft", "", report.AtMost, 100_000)
	add("switch/900000/weft", "switch/1/weft", report.Within, 1.5)
	add("memory/full/weft", "", report.AtMost, 64<<20)
	add("memory/full/weft_compact", "", report.AtMost, 12<<20)
	return gs
}
