package main

import (
	"slices"
	"strings"
	"testing"
)

// A peer that no source gives would leave its goal without a verdict for ever.
func TestPeersOfGoalsExist(t *testing.T) {
	var rows []string
	for _, s := range sources {
		rows = append(rows, s.rows...)
	}
	for _, g := range goals() {
		if g.Peer != "" && !strings.Contains(g.Peer, "weft") && !slices.Contains(rows, g.Peer) {
			t.Errorf("no source gives %s", g.Peer)
		}
	}
}
