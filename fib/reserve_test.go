package fib

import (
	"errors"
	"net/netip"
	"testing"
)

// reserveRoutes returns distinct routes of many lengths.
func reserveRoutes(n int, g GroupID) (all []Route) {
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(i * 7)})
		all = append(all, Route{netip.PrefixFrom(a, 18+i%15).Masked(), g})
	}
	return all
}

// What new routes leave is enough for what there is to change, and to go.
func TestReserve(t *testing.T) {
	im, err := Create(make([]byte, 4*MinSize), Options{VRFs: 8, Reserve: 16 << 10, Grace: new(Readers)})
	if err != nil {
		t.Fatal(err)
	}
	adjacency := Adjacency{Port: 1, MTU: 1500, RewriteLen: 14, Neighbor: netip.MustParseAddr("192.0.2.1")}
	id, err := im.AddAdjacency(adjacency)
	if err != nil {
		t.Fatal(err)
	}
	other, err := im.AddAdjacency(adjacency)
	if err != nil {
		t.Fatal(err)
	}
	first, err := im.AddGroup(Group{Kind: Forward, Members: []Member{{id, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := im.AddGroup(Group{Kind: Punt, Reason: 9})
	if err != nil {
		t.Fatal(err)
	}
	tab, all := mustTable(t, im, 0), reserveRoutes(20000, first)
	for i := range all {
		if err = tab.Insert(all[i].Prefix, first); err != nil {
			break
		}
	}
	if installed, _ := tab.Len(); !errors.Is(err, ErrFull) || installed < 1000 {
		t.Fatalf("%d routes installed, %v", installed, err)
	}
	for err = nil; err == nil; { // these may take half of what is left
		_, err = im.AddGroup(Group{Kind: Forward, Mode: HashThreshold, Members: []Member{{id, 1}, {other, 2}}})
	}
	if free := im.Size() - im.Used(); !errors.Is(err, ErrFull) || free < 4<<10 {
		t.Errorf("%d bytes are left free, %v", free, err)
	}
	for i := range 5000 { // as if there were room for ever
		adjacency.Rewrite[0] = byte(2 * i)
		if err := im.SetAdjacency(id, adjacency); err != nil {
			t.Fatal(err)
		}
		if err := tab.Insert(all[i%500].Prefix, []GroupID{first, second}[i%2]); err != nil {
			t.Fatal(err)
		}
	}
	for p := range all {
		if err := tab.Delete(all[p].Prefix); err != nil && !errors.Is(err, ErrNoRoute) {
			t.Fatal(err)
		}
	}
}

// A table that is loaded at once leaves as much.
func TestReserveOfLoad(t *testing.T) {
	im, err := Create(make([]byte, 16*MinSize), Options{VRFs: 8, Grace: new(Readers)})
	if err != nil {
		t.Fatal(err)
	}
	g, err := im.AddGroup(Group{Kind: Local})
	if err != nil {
		t.Fatal(err)
	}
	tab, all := mustTable(t, im, 0), reserveRoutes(2000, g)
	if _, err := tab.Replace(all); err != nil {
		t.Fatal(err)
	}
	before, _ := tab.Len()
	used := im.Used()
	clear(im.mem)
	if im, err = Create(im.mem, Options{VRFs: 8, Grace: new(Readers), Reserve: len(im.mem) - used + 16<<10}); err != nil {
		t.Fatal(err)
	}
	if g, err = im.AddGroup(Group{Kind: Local}); err != nil {
		t.Fatal(err)
	}
	tab = mustTable(t, im, 0)
	d, err := tab.Replace(reserveRoutes(2000, g))
	after, _ := tab.Len()
	if free := im.Size() - im.Used(); !errors.Is(err, ErrFull) || after == 0 || after >= before || d.Added != after || free < im.opts.Reserve {
		t.Errorf("%d of %d routes installed, %d told, %d bytes free of %d: %v", after, before, d.Added, free, im.opts.Reserve, err)
	}
}
