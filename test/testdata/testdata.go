// Package testdata holds the routing table that benches and tests use in place of toy tables. See README.md for its
// source and licence.
package testdata

import _ "embed"

// PrefixesGZ is the gzip of a text with one CIDR prefix a line, IPv4 and IPv6 mixed, lines ended by CR LF. Read-only.
//
//go:embed prefixes.txt.gz
var PrefixesGZ []byte
