package conformance

import (
	"strings"
	"testing"

	"weft/test/proof"
	"weft/test/root"
)

func openNetwork(t testing.TB) *Network {
	t.Helper()
	root.Require(t)
	n, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// TestCases sends every case, and records how many there are of each family.
func TestCases(t *testing.T) {
	n := openNetwork(t)
	count := map[string]uint64{}
	names := map[string]bool{}
	for _, c := range Cases() {
		if names[c.Name] {
			t.Fatalf("two cases are named %s", c.Name)
		}
		names[c.Name] = true
		kind, _, _ := strings.Cut(c.Name, "/")
		count[kind]++
		t.Run(c.Name, func(t *testing.T) {
			if err := n.Try(t.Context(), &c); err != nil {
				t.Error(err)
			}
		})
	}
	for kind, least := range map[string]uint64{"ipv4": 60, "ipv6": 60, "eth": 10} {
		if count[kind] < least {
			t.Errorf("%d cases of %s, want %d", count[kind], kind, least)
		}
		proof.Record(t, proof.Result{
			Kind: proof.Case, Name: kind, Count: count[kind], Packets: count[kind] * Copies,
			What: "named packets through veths: their counter, no other, what came out",
		})
	}
}
