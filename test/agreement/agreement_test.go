package agreement

import (
	"fmt"
	"strings"
	"testing"

	"weft/dataplane"
	"weft/test/proof"
)

// saved is where divergences are kept, from this directory.
const saved = "../../build/agreement"

// notMet are the reasons that no packet here ends for, and why. All others are met
// often.
var notMet = map[dataplane.Reason]string{
	dataplane.FrameCorrupted:   "a frame shorter than its Ethernet header is not taken for a test run",
	dataplane.PortUnknown:      "packets come in by ports of the State",
	dataplane.ErifDisabled:     "Linux takes routes over a port that is down away, and all others can be sent to",
	dataplane.NoGroup:          "no route that the RIB writes names a group that is not there",
	dataplane.NoAdjacency:      "no group that the RIB writes names an adjacency that is not there",
	dataplane.EncapUnknown:     "no adjacency that the RIB writes has a header of a tunnel",
	dataplane.RewriteFailed:    "there is room for tags in front of every packet",
	dataplane.LoopOverrun:      "it is of loops that packets come to by sockets",
	dataplane.LoopAbsent:       "the same",
	dataplane.LoopFrameTooLong: "the same",
	dataplane.LoopPuntOverrun:  "the same",
}

// TestAgreement: the model, the engine in its variants and Linux do the same with
// random packets in random states.
func TestAgreement(t *testing.T) {
	packets := uint64(1_000_000)
	if testing.Short() {
		packets = 50_000
	}
	table := newTable(t)
	c := NewCampaign(20_261_122)
	var found []Divergence
	c.Divergence = func(d Divergence) { found = append(found, d) }
	if err := c.Run(t.Context(), table, packets, nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d states\n%s", c.Rounds, c.Tally)
	report(t, table, found)
	if c.Divergent > 0 {
		t.Errorf("%d packets of which forwarders have different views", c.Divergent)
	}
	if !testing.Short() { // with few states some reasons are not met
		wantCoverage(t, c.Tally, packets)
	}
	if !t.Failed() {
		record(t, c)
	}
}

// report shrinks and saves divergences, as many as there is time for.
func report(t *testing.T, table *Table, found []Divergence) {
	t.Helper()
	for i, d := range found {
		t.Log(d.String())
		if i < 3 {
			var err error
			if d, err = table.Shrink(d); err != nil {
				t.Logf("shrink: %v", err)
			}
		}
		path, err := d.Save(saved)
		if err != nil {
			t.Error(err)
		}
		t.Errorf("%s\nsaved: %s", d.String(), path)
	}
}

// wantCoverage asserts that packets have gone every way there is.
func wantCoverage(t *testing.T, tally *Tally, packets uint64) {
	t.Helper()
	healthy := packets / 20_000
	for r := range dataplane.Reasons() {
		n, why := tally.Reasons[r.String()], notMet[r]
		switch {
		case why == "" && n < healthy:
			t.Errorf("%d packets ended for %s, want %d and more", n, r, healthy)
		case why != "" && n > 0:
			t.Errorf("%d packets ended for %s, although %s", n, r, why)
		}
	}
	for _, key := range []string{finishedSent, finishedSilent} {
		if tally.Packets[key] < packets/50 {
			t.Errorf("%d of %d packets are %s by the userspace loop", tally.Packets[key], packets, key)
		}
	}
	if n := tally.Reasons[dataplane.Forwarded.String()]; n < packets/4 {
		t.Errorf("%d of %d packets were forwarded, want a quarter and more", n, packets)
	}
	for _, deed := range []string{"forwards", "answers", "delivers", "resolves", "discards"} {
		if tally.Deeds[deed] < packets/100 {
			t.Errorf("linux %s %d of %d packets, want one in a hundred and more", deed, tally.Deeds[deed], packets)
		}
	}
}

// record tells of each forwarder and family.
func record(t *testing.T, c *Campaign) {
	t.Helper()
	for _, family := range []string{"ipv4", "ipv6", "other"} {
		var others []string
		for _, name := range []string{"linux", "xdp", "tc", "xdp+chunked+partial", "xdp+vlan", "soft", "soft+partial", "soft+vlan"} {
			others = append(others, fmt.Sprintf("%s %d", name, c.Tally.Packets[name+" "+family]))
		}
		proof.Record(t, proof.Result{
			Kind: proof.Agreement, Name: family, Count: c.Rounds, Packets: c.Tally.Packets["all "+family], Lost: c.Tally.Differ["all "+family],
			What: "the model's reasons and bytes, in random states; of them compared with " + strings.Join(others, ", "),
		})
	}
	sent, silent := c.Tally.Packets[finishedSent], c.Tally.Packets[finishedSilent]
	proof.Record(t, proof.Result{
		Kind: proof.Agreement, Name: "finished", Count: c.Rounds, Packets: sent + silent, Lost: c.Tally.Differ[finishedSent] + c.Tally.Differ[finishedSilent],
		What: fmt.Sprintf("what XDP leaves to Linux, done by the userspace loop: %d with an ICMP error, fragments or a checksum, %d held or in silence, as Linux", sent, silent),
	})
}
