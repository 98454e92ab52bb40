package scale

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"weft/test/kernelroutes"
)

// Next-hop groups that routes are moved to; each route of the table leads to one.
const (
	firstGroup = 1000
	groups     = 16
	members    = 256

	stormRate = 5000 // replaced objects a second
)

// Next-hop objects are replaced again and again, single ones and groups of up to 256,
// while all routes lead through them.
func TestNextHopStorm(t *testing.T) {
	s := begin(t, "R18", "next-hop objects replaced")
	// Without this the kernel tells of each route of an object that is replaced.
	s.Sysctl("r1", "net.ipv4.nexthop_compat_mode", "0")
	s.groupRoutes()
	stream := s.BeginStable()
	lags := s.storm(s.newStorm())
	s.proved.Packets = stream.Finish()
	s.CatchUp()
	s.proved.What += fmt.Sprintf(" %d times a second, %d groups of %d and %d routes behind them: %s", stormRate, groups, members, len(s.table.v4), lags)
}

// Next-hop objects are deleted, of which Linux drops the IPv4 routes without a word, and made
// again with them.
func TestNextHopsComeAgain(t *testing.T) {
	s := begin(t, "R18", "next-hop objects deleted with their routes and made again,")
	stream := s.BeginStable()
	lags := s.storm(s.newReturns())
	s.proved.Packets = stream.Finish()
	s.CatchUp()
	s.proved.What += fmt.Sprintf(" %d changes a second, %d routes: %s", churnRate, len(s.table.v4), lags)
	if o := s.Weft("verify"); o.Code != 0 {
		t.Errorf("weft verify: exit code %d\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
}

// storm runs a churner, and says what that came to.
func (s *scaled) storm(c *churner) string {
	s.Helper()
	before := s.Status().Netlink
	lags := c.run(pick(5*time.Second, 30*time.Second))
	after := s.Status().Netlink
	s.proved.Count = c.changes.Load()
	s.Logf("%d overruns, %d synchronizations; rounds were late by %v at most", after.Overruns-before.Overruns, after.Syncs-before.Syncs, c.late)
	return fmt.Sprintf("%v, 'weft status' within %.1f s", lags, c.answer.Seconds())
}

// groupRoutes makes all IPv4 routes lead to groups of objects, every second one resilient.
func (s *scaled) groupRoutes() {
	s.Helper()
	s.in(func() error {
		b, err := kernelroutes.Open()
		if err != nil {
			return err
		}
		defer b.Close()
		for i := range uint32(groups) {
			s.putGroup(b, i, i)
		}
		if err := b.Send(); err != nil {
			return err
		}
		for i, p := range s.table.v4[len(s.table.probes):] {
			b.Put(p, firstGroup+uint32(i%groups))
			if err := b.SendFull(); err != nil {
				return err
			}
		}
		return b.Send()
	})
	s.CatchUp()
}

// putGroup makes the i-th group be of all objects, or of half of them.
func (s *scaled) putGroup(b *kernelroutes.Batch, i, turn uint32) {
	var all []uint32
	for id := uint32(1); id <= members; id += 1 + turn%2 {
		all = append(all, id)
	}
	buckets := uint16(0)
	if i%2 == 1 {
		buckets = 512
	}
	b.PutGroup(firstGroup+i, all, buckets)
}

// newStorm makes a churner that replaces objects: each leads to another neighbor in
// turns, and every hundredth is a group.
func (s *scaled) newStorm() *churner {
	s.Helper()
	c := s.newChurner()
	turn := uint32(0)
	c.rate, c.perRound = stormRate, 50
	c.change = func(b *kernelroutes.Batch) {
		turn++
		if turn%100 == 0 {
			s.putGroup(b, turn/100%groups, turn/100/groups)
			return
		}
		s.putObject(b, 3+turn%(objects-2), turn*7%objects) // 1 and 2 are those of the probes
	}
	return c
}

// newReturns makes a churner that deletes an object, makes it again, and then its routes,
// one object after the other.
func (s *scaled) newReturns() *churner {
	s.Helper()
	c := s.newChurner()
	behind := map[uint32][]netip.Prefix{} // routes, by object
	for i, p := range s.table.v4[len(s.table.probes):] {
		id := s.table.hops[len(s.table.probes)+i]
		behind[id] = append(behind[id], p)
	}
	turn, id, gone := uint32(0), uint32(0), []netip.Prefix(nil)
	c.change = func(b *kernelroutes.Batch) {
		if len(gone) > 0 {
			b.Put(gone[0], id)
			gone = gone[1:]
			return
		}
		id = 3 + turn%(objects-2) // 1 and 2 are those of the probes
		turn++
		gone = behind[id]
		b.DeleteObject(id)
		s.putObject(b, id, id)
	}
	return c
}
