package bird

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/test/proof"
	"weft/test/star"
)

// The stream's destinations: all that the neighbors announce by IPv4.
var destinations = []string{"10.70.0.1", "10.70.77.1", "10.72.0.1", "10.72.200.1"}

// BIRD is killed and started again, stopped and started again. With persist and graceful
// restart its routes stay, and no packet is lost.
func TestPersist(t *testing.T) {
	n := begin(t, bgpRouter(kernel("persist; graceful restart;"), "graceful restart on;"), bgpNeighbor, "-R")
	n.wantShared("10.70.0.1")
	n.wantShared("10.72.0.1")
	established := func() bool {
		routes := n.bird.Do("show route where source = RTS_BGP")
		return strings.Count(n.bird.Do("show protocols"), "Established") == 4 && strings.Count(routes, "via ") == 6
	}
	before := n.Count("to-h1", "forwarded")
	s := n.Stream(destinations...)
	s.Begin()
	ends := []func(){n.bird.Kill, n.bird.Stop}
	for _, end := range ends {
		end()
		pass(s)
		n.bird.Start()
		n.Until("BIRD has its neighbors again", established)
		pass(s)
	}
	s.Stop()
	sent := s.WantAll()
	if went := n.Count("to-h1", "forwarded") - before; went != sent {
		t.Errorf("%d packets went by XDP, want all %d", went, sent)
	}
	s.Close()
	n.wantShared("10.70.0.1")
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R1", What: "BIRD with persist and graceful restart killed, stopped, and started again beside weft", Count: uint64(len(ends)), Packets: sent,
	})
}

// pass waits until a share of the stream more has passed.
func pass(s *star.Stream) {
	s.Helper()
	want := s.Arrived() + star.Rate/4
	s.Until("packets go on", func() bool { return s.Arrived() >= want })
}

// BIRD withdraws very many routes at once, brings them back, and ends: weft follows, and no
// stable prefix loses a packet.
func TestStorm(t *testing.T) {
	const routes = 100_000
	var text strings.Builder
	for _, p := range star.Prefixes(routes) {
		fmt.Fprintf(&text, "route %s via 10.2.0.2;\n", p)
	}
	file := filepath.Join(t.TempDir(), "routes")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	n := begin(t, "router id 10.1.0.1;"+kernel("")+fmt.Sprintf("protocol static storm { disabled; ipv4;\ninclude %q;\n}\n", file), nil)
	n.Wait = 2 * time.Minute
	stable := n.BeginStable()
	size := func() int { return n.Status().FIB.IPv4Routes }
	few := size()
	all := func() {
		t.Helper()
		n.Until("all routes are in the FIB", func() bool { return size() >= few+routes })
		n.WantForward("20.0.0.1", "to-h2", "10.2.0.2")
	}
	none := func() {
		t.Helper()
		n.Until("the routes have gone", func() bool { return size() <= few })
		n.WantReason("20.0.0.1", "ipv4_lpm_miss")
	}
	n.bird.Do("enable storm")
	all()
	n.bird.Do("disable storm")
	none()
	n.bird.Do("enable storm")
	all()
	n.bird.Stop()
	none()
	sent := stable.Finish()
	n.WantVerified()
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R19", What: fmt.Sprintf("BIRD brings and withdraws %d routes, twice", routes), Count: 4 * routes, Packets: sent,
	})
}
