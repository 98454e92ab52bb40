package main

import report "weft/test/benchreport"

func rowName(family, table, engine string) string {
	return "forward/" + family + "/" + table + "/64/" + engine
}

// goals returns them all, whether the run has their rows or not.
func goals() []report.Goal {
	var gs []report.Goal
	for _, family := range []string{"ipv4", "ipv6"} {
		add := func(table, peerTable, peer string, limit float64) {
			gs = append(gs, report.Goal{
				Row: rowName(family, table, "weft_xdp"), Peer: rowName(family, peerTable, peer),
				Relation: report.TimesRate, Limit: limit,
			})
		}
		add("one", "one", "fib_lookup", 1.3)
		add("one", "one", "ceiling", 0.97)
		add("full", "full", "linux", map[string]float64{"ipv4": 5.5, "ipv6": 5}[family])
		add("full", "full", "fib_lookup", 3.2)
		add("full", "full", "ceiling", 0.88)
		add("full", "one", "weft_xdp", 0.88)
		add("full_zipf", "full_zipf", "ceiling", 0.95)
	}
	return append(gs,
		report.Goal{Row: rowSync, Relation: report.AtMost, Limit: 5},
		report.Goal{Row: rowMemory, Relation: report.AtMost, Limit: 400 << 20},
		report.Goal{Row: rowIdle, Relation: report.AtMost, Limit: 0.5},
	)
}
