// Package proof keeps what tests have proved, so that it can be told at the end:
// packets compared, faults survived, packets lost.
//
// A test calls Record once for what it has shown, when it has passed. `make test`
// names a file in the environment (WEFT_PROOF), to which each record is one line of
// JSON, and prints them as a table when all tests are through (package report).
// Without that file nothing is kept.
package proof
