package scale

import (
	"fmt"
	"testing"
	"time"

	"weft/test/kernelroutes"
)

// A table is flushed and filled again: routes that stayed lose no packet, and weft is
// done soon after the kernel is.
func TestFlush(t *testing.T) {
	s := begin(t, "R19", "table flushed and filled again")
	s.Sysctl("r1", "net.ipv4.nexthop_compat_mode", "0") // else 'ip route flush' cannot delete routes through objects
	before := s.Status()
	stream := s.BeginStable()
	start := time.Now()
	s.flush()
	flushed := time.Since(start)
	start = time.Now()
	s.Until("the routes are gone", func() bool {
		f := s.Status().FIB
		return f.IPv4Routes+f.IPv6Routes < 1000
	})
	gone := time.Since(start)
	start = time.Now()
	s.in(func() error {
		b, err := kernelroutes.Open()
		if err != nil {
			return err
		}
		defer b.Close()
		return s.fill(b)
	})
	filled := time.Since(start)
	s.Until("all routes are in the FIB", s.isFull)
	followed := time.Since(start)
	s.CatchUp()
	s.proved.Packets, s.proved.Count = stream.Finish(), uint64(2*(len(s.table.v4)+len(s.table.v6)))
	after := s.Status()
	s.proved.What += fmt.Sprintf(": flushed by Linux in %.1f s, by weft %.1f s later; filled by Linux in %.1f s, by weft after %.1f s; %d overruns, %d synchronizations",
		flushed.Seconds(), gone.Seconds(), filled.Seconds(), followed.Seconds(), after.Netlink.Overruns-before.Netlink.Overruns, after.Netlink.Syncs-before.Netlink.Syncs)
	if o := s.Weft("verify"); o.Code != 0 {
		t.Errorf("weft verify: exit code %d\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
}

// flush runs 'ip route flush' for the routes of the table.
func (s *scaled) flush() {
	s.Helper()
	for _, family := range []string{"-4", "-6"} {
		s.Command("r1", "ip", family, "route", "flush", "proto", "static")
	}
}
