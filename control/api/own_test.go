package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weft/control/config"
)

// TestOwnRoutes tells of static routes that the kernel does not have, and of those that
// wait for a link.
func TestOwnRoutes(t *testing.T) {
	w := serve(t, 1<<20, nil)
	ip(t, "route add 10.9.0.0/16 via 10.0.1.2 metric 1")
	w.has("10.9.0.0/16")
	c, err := config.Parse("test", []byte(`version: 1
routes:
  - {prefix: 10.6.0.0/16, via: 10.0.2.2}
  - {prefix: 10.7.0.0/16, nexthops: [{via: 10.0.2.2, dev: port2}, {dev: later}]}
  - {prefix: 10.8.0.0/16, dev: later, preference: 7}
  - {prefix: 10.9.0.0/16, via: 10.0.2.2}
  - {prefix: 10.9.0.0/16, via: 10.0.1.2, preference: 9}
  - {prefix: 10.5.0.0/16, type: blackhole, vrf: blue}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.static.Replace(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	var st *Status
	w.eventually(func() string {
		if st, err = w.client.GetStatus(context.Background(), &StatusRequest{}); err != nil {
			t.Fatal(err)
		}
		if x := st.GetExport(); x.GetRoutes() != 2 || x.GetConflicts() != 1 || x.GetPending() != 0 || x.GetRefused() != 0 {
			return x.String()
		}
		return ""
	})
	waits := ""
	for _, one := range st.GetWaiting() {
		waits += one.GetThing() + " for " + one.GetFor() + "\n"
	}
	if st.GetWaitingCount() != 3 || strings.Count(waits, "for interface later") != 2 || !strings.Contains(waits, "for VRF blue") {
		t.Errorf("waiting: %d: %s", st.GetWaitingCount(), waits)
	}
	var have []string
	for _, r := range w.routes(&RoutesRequest{All: true, Prefix: "10.0.0.0/8"}) {
		if r.GetSource() == "static" {
			have = append(have, fmt.Sprintf("%s %d selected %v conflict %v waits %q", r.GetDst(), r.GetOrigin(), r.GetSelected(),
				strings.Contains(r.GetNotExported(), "another protocol"), r.GetWaitsFor()))
		}
	}
	if want := []string{
		`10.6.0.0/16 1 selected true conflict false waits ""`,
		`10.7.0.0/16 1 selected true conflict false waits "interface later"`,
		`10.8.0.0/16 7 selected false conflict false waits "interface later"`,
		`10.9.0.0/16 1 selected false conflict true waits ""`,
		`10.9.0.0/16 9 selected false conflict false waits ""`,
	}; !slices.Equal(have, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
	if got := dsts(w.routes(&RoutesRequest{Prefix: "10.8.0.0/16"})); got != nil {
		t.Errorf("what waits is no route that packets follow: %q", got)
	}
	reply, err := w.client.Lookup(context.Background(), &LookupRequest{Dst: "10.9.1.1"})
	if err != nil || len(reply.GetCandidates()) != 3 || reply.GetCandidates()[1].GetNotExported() == "" || reply.GetRoute().GetSource() != "kernel" {
		t.Errorf("%v %v", reply.GetCandidates(), err)
	}
}
