package main

import report "weft/test/benchreport"

func rowName(family, table, engine string) string {
	return "forward/" + family + "/" + table + "/64/" + engine
}

func softRow(family, table, engine string) string {
	return "soft/" + family + "/" + table + "/64/" + engine
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
	for _, row := range [][2]string{{"ipv4", "one"}, {"ipv4", "full"}, {"ipv6", "full"}} {
		gs = append(gs,
			report.Goal{Row: softRow(row[0], row[1], "weft_soft"), Peer: softRow(row[0], row[1], "linux"), Relation: report.TimesRate, Limit: 1.3},
			// VPP's AF_XDP on such a machine.
			report.Goal{Row: softRow(row[0], row[1], "weft_soft"), Relation: report.AtLeast, Limit: map[string]float64{"one": 0.75, "full": 0.73}[row[1]]},
		)
	}
	for _, table := range []string{"one", "full"} {
		gs = append(gs, report.Goal{
			Row: latencyRow("ipv4", table, "weft_soft"), Peer: latencyRow("ipv4", table, "weft_xdp"), Relation: report.Within, Limit: 3,
		})
	}
	return append(gs,
		report.Goal{Row: "mem/ipv4/one/64/weft_soft", Relation: report.AtMost, Limit: 35},
		report.Goal{Row: "mem/ipv4/full/64/weft_soft", Relation: report.AtMost, Limit: 50},
		report.Goal{Row: "mem/ipv6/full/64/weft_soft", Relation: report.AtMost, Limit: 70},
		report.Goal{Row: rowIdleSoft, Relation: report.AtMost, Limit: 1},
		report.Goal{Row: rowSync, Relation: report.AtMost, Limit: 5},
		report.Goal{Row: rowMemory, Relation: report.AtMost, Limit: 400 << 20},
		report.Goal{Row: rowIdle, Relation: report.AtMost, Limit: 0.5},
	)
}
