package export

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weft/control/rib"
)

// Whatever is wanted in whatever order, in the end the kernel has that, and no
// object too many.
func TestRandomWishes(t *testing.T) {
	enterNetns(t)
	b := run(t)
	b.Settle()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	defer func() { t.Logf("seed %d", seed) }()
	prefixes := []string{"10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"}
	wanted := map[string]rib.ExportRoute{}
	gateway := map[uint32]int{}
	users := map[uint32]int{}
	last := uint32(0)
	leave := func(x *rib.Export, id uint32) {
		if users[id]--; users[id] == 0 {
			x.Gone = append(x.Gone, id)
			delete(gateway, id)
		}
	}
	check := func() {
		t.Helper()
		b.idle()
		var want []string
		for prefix, m := range wanted {
			want = append(want, fmt.Sprintf("%s metric %d via 192.0.1.%d p1", prefix, m.Metric, gateway[m.Group]))
		}
		if b.wants(want...); t.Failed() {
			t.FailNow()
		}
	}
	for i := range 400 {
		x := &rib.Export{}
		prefix := prefixes[random.IntN(len(prefixes))]
		old, had := wanted[prefix]
		switch op := random.IntN(4); {
		case op == 0 && had:
			delete(wanted, prefix)
			x.Routes = append(x.Routes, routeTo(prefix, 0, old.Metric))
			leave(x, old.Group)
		case op == 1 && had: // its group leads elsewhere
			gateway[old.Group] = 2 + random.IntN(9)
			x.Groups = append(x.Groups, groupOf(old.Group, fmt.Sprintf("11 192.0.1.%d 1", gateway[old.Group])))
		case op == 2 && had: // said of one that is there, or not yet
			x.Lost = append(x.Lost, key(prefix))
		default:
			last++
			gateway[last] = 2 + random.IntN(9)
			x.Groups = append(x.Groups, groupOf(last, fmt.Sprintf("11 192.0.1.%d 1", gateway[last])))
			users[last]++
			wanted[prefix] = routeTo(prefix, last, 20+20*uint32(random.IntN(2)))
			x.Routes = append(x.Routes, wanted[prefix])
			if had {
				leave(x, old.Group)
			}
		}
		b.Take(x)
		if i%40 == 39 {
			check()
		}
	}
	x := &rib.Export{}
	for prefix, m := range wanted {
		x.Routes = append(x.Routes, routeTo(prefix, 0, m.Metric))
		leave(x, m.Group)
	}
	clear(wanted)
	b.Take(x)
	check()
	if got := ip(t, "nexthop show"); strings.Contains(got, "proto 119") {
		t.Errorf("objects are left:\n%s", got)
	}
}
