package agreement

import (
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"weft/dataplane"
	"weft/test/model"
	"weft/test/root"
)

// What saved divergences are made of.

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func address(s string) netip.Addr { return netip.MustParseAddr(s) }

func hexMAC(s string) dataplane.MAC {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return dataplane.MAC(m)
}

// wantAgreement gives one packet to all forwarders. It is what saved divergences call.
func wantAgreement(t *testing.T, s *model.State, port, frame string) {
	t.Helper()
	b, err := hex.DecodeString(frame)
	if err != nil {
		t.Fatal(err)
	}
	table := newTable(t)
	if err := table.Set(s); err != nil {
		t.Fatal(err)
	}
	in := slices.IndexFunc(s.Ports, func(p model.Port) bool { return p.Name == port })
	all, err := table.RunAll([]Packet{{in, b}}, NewTally())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		t.Error(d.String())
	}
}

// wrongForwarder, in the environment, has tables consist of the model and one that is
// wrong: for the test of what is saved.
const wrongForwarder = "WEFT_TEST_WRONG_FORWARDER"

func newTable(t testing.TB) *Table {
	t.Helper()
	if os.Getenv(wrongForwarder) != "" {
		return wrongTable()
	}
	root.Require(t)
	table, err := NewTable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}
