package scale

import (
	"fmt"
	"testing"
	"time"
)

// Routes change without a pause while a full table is forwarded by: what stays loses no
// packet, and changes are followed soon.
func TestChurn(t *testing.T) {
	s := begin(t, "R18", "routes change")
	c := s.newChurner()
	before := s.Status()
	stream := s.BeginStable()
	lags := c.run(pick(10*time.Second, time.Minute))
	after := s.Status()
	s.proved.Packets, s.proved.Count = stream.Finish(), c.changes.Load()
	s.CatchUp()
	s.proved.What += fmt.Sprintf(" %d times a second, %d routes: %v, 'weft status' within %.1f s, %d overruns", churnRate,
		len(s.table.v4)+len(s.table.v6), lags, c.answer.Seconds(), after.Netlink.Overruns-before.Netlink.Overruns)
	t.Logf("%d synchronizations; rounds were late by %v at most; memory %d MiB before, %d after",
		after.Netlink.Syncs-before.Netlink.Syncs, c.late, before.Memory>>20, after.Memory>>20)
	if got, want := s.Status().FIB.IPv4Routes, len(s.table.v4)-len(c.gone); got < want {
		t.Errorf("%d IPv4 routes in the FIB, want %d", got, want)
	}
}
