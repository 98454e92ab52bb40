// Package result is what `weft bench` finds out: a Document, and its views: a table, Go-benchmark lines, a page with plots,
// and what changed between two of them.
package result
