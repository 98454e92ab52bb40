package rib

import (
	"fmt"
	"net/netip"
	"testing"

	"weft/control/kernel"
)

func object(id uint32, link int, gateway string) kernel.NextHop {
	return kernel.NextHop{ID: id, Hop: kernel.Hop{Link: link, Gateway: netip.MustParseAddr(gateway), Weight: 1}}
}

// Objects go with their routes, and come again with others under the same numbers,
// all before a publication: old routes go, new ones stay.
func TestObjectsComeAgain(t *testing.T) {
	b := newBench(t, Options{})
	for id := range uint32(50) {
		b.SetNextHop(object(100+id, 1, "192.0.2.1"))
		b.SetRoute(route(t, fmt.Sprintf("unicast 10.%d.0.0/16 nhid %d", id, 100+id)), Add)
		b.SetRoute(route(t, fmt.Sprintf("unicast 2001:db8:%d::/48 nhid %d", id, 100+id)), Add)
	}
	b.Publish()
	for id := range uint32(50) {
		b.DeleteNextHop(100 + id) // IPv4 routes go without a word
		b.DeleteRoute(route(t, fmt.Sprintf("unicast 2001:db8:%d::/48 nhid %d", id, 100+id)))
		b.SetNextHop(object(100+id, 2, "198.51.100.1"))
		if id%2 == 0 {
			b.SetRoute(route(t, fmt.Sprintf("unicast 10.%d.0.0/16 nhid %d", id, 100+id)), Add)
		}
	}
	b.Publish()
	checkImage(t, b.RIB)
	for id := range 50 {
		want := absent
		if id%2 == 0 {
			want = "2 198.51.100.1 x1"
		}
		b.wants(fmt.Sprintf("10.%d.0.0/16", id), want, fmt.Sprintf("2001:db8:%d::/48", id), absent)
	}
	if c := b.Counts(); c.Unmatched != 0 || c.Parked != 0 {
		t.Errorf("%+v", c)
	}
}
