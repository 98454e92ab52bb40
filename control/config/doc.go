// Package config is weft's configuration: the file, what it means, and how it comes
// into force. It imports nothing of what forwards: a Sink makes a Config work.
//
// # The file
//
// YAML of the plain kind: no anchors, aliases, merge keys, tags or second documents,
// so that a file means what it shows and a short one is not gigabytes. One
// description (format.go, of the values in value.go) makes the decoder and the JSON
// schema that editors check files by (weft.schema.json), so that they agree: a test
// changes files in thousands of ways and compares the two. Keys that are not known
// are mistakes. All mistakes are told, each with file, line, column, the line with
// a caret, cause and remedy.
//
//	version: 1
//	nexthop_groups:
//	  core: [{via: 192.0.2.1, weight: 2}, {via: 192.0.2.2}]
//	routes:
//	  - {prefix: 10.0.0.0/8, group: core}
//	  - {prefix: 10.9.0.0/16, type: blackhole}
//
// A file is at most 4 MiB, some 90,000 routes, which take five seconds to read:
// that many come by BGP elsewhere.
//
// # One change
//
//	Parse -> Config -> Diff -> Plan
//	Store.Apply: write N.config.json, Sink.Replace, rename state.json
//
// The rename is the change: killed before it, the next start has all of the old
// configuration, after it all of the new. What the Sink refuses leaves the disk as
// it was; what the disk refuses is taken back in the Sink.
//
// # Confirming
//
// A change that is to be confirmed is kept with its deadline by two clocks. While the
// machine runs, CLOCK_BOOTTIME counts, which nobody can set; after a restart of the
// machine the clock on the wall, which may end the time but not prolong it beyond
// what was given. Store.Run takes back what is not confirmed; Open does when the
// daemon was dead at the time.
//
// # The file and the state
//
// What is in force is kept, with the generations before it, in /var/lib/weft (of the
// machine's first network namespace) or /run/weft (of others, which end with the
// machine's run), and is there again after a restart. The file is taken in at a
// start only when it says something else than the file that was taken in last: what
// 'weft routes add' and 'weft config rollback' have made stays, and a file that was
// not confirmed does not come back.
//
// What is not here: links, VRFs and the RIB (package static), and who may change
// something (whoever may open the API's socket).
package config
