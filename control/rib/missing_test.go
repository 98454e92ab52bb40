package rib

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"weft/fib"
)

// right returns the group that packets to an address should go to, if the image
// had room for everything.
func (r *RIB) right(a netip.Addr) fib.GroupID {
	k := hostKey(0, a)
	for bits := 32; bits >= 0; bits-- {
		if g, ok := r.answer(k.shortened(uint8(bits))); ok {
			return r.groups[g].id
		}
	}
	return 0
}

// In an image that is too small each packet takes its way or goes to the kernel,
// whatever comes and goes; with room again, all is as if there had always been.
func TestFullImageLeadsNobodyAstray(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	told, toldAstray := 0, false
	im, err := fib.Create(make([]byte, 4*fib.MinSize), fib.Options{VRFs: 8, Reserve: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t, New(im, Options{
		Ports: portsBelow(9), Reasons: testReasons, NotInstalled: func(n int, astray bool) { told, toldAstray = n, astray },
	})}
	b.BeginSync()
	b.SetLink(testLink(1))
	b.EndSync()
	there := map[string]string{}
	most, astray, toKernel, checked := 0, 0, 0, 0
	check := func(published bool) {
		c := b.Counts()
		if published && (c.NotInstalled != told || c.Astray != toldAstray) || c.NotInstalled > 0 && told == 0 {
			t.Fatalf("%d are missing, astray %t; told are %d, %t", c.NotInstalled, c.Astray, told, toldAstray)
		}
		if most = max(most, told); c.Astray {
			astray++
			return
		}
		table, err := b.Image().Table(0)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			a := netip.AddrFrom4([4]byte{10, byte(rnd.IntN(64)), byte(rnd.IntN(256)), byte(rnd.IntN(256))})
			have, want := table.Lookup(a), b.right(a)
			checked++
			if have == 0 || have == b.groups[b.policy].id {
				toKernel++
			} else if have != want {
				t.Fatalf("%s: group %d, want %d or the kernel; %d are missing", a, have, want, told)
			}
			if have != b.Lookup(0, a) {
				t.Fatalf("%s: the image has %d, the RIB says %d", a, have, b.Lookup(0, a))
			}
		}
	}
	change := func(p string, add bool) {
		if old, ok := there[p]; ok {
			b.DeleteRoute(route(t, old))
			delete(there, p)
		}
		if add {
			there[p] = fmt.Sprintf("unicast %s via 192.0.2.%d dev 1", p, 1+rnd.IntN(150))
			b.SetRoute(route(t, there[p]), Add)
		}
		publish := rnd.IntN(4) == 0
		if publish {
			b.Publish()
		}
		check(publish)
	}
	for range 2 {
		for range 12000 {
			bits := []int{8, 12, 16, 20, 22, 24, 24, 26, 28, 32}[rnd.IntN(10)]
			a := netip.AddrFrom4([4]byte{10, byte(rnd.IntN(64)), byte(rnd.IntN(256)), byte(rnd.IntN(256))})
			change(netip.PrefixFrom(a, bits).Masked().String(), true)
		}
		for p := range there {
			if len(there) > 300 {
				change(p, false)
			}
		}
		b.Publish()
		b.Retry()
		check(true)
		if told != 0 || toldAstray || len(b.missing.shields) != 0 {
			t.Fatalf("with room again %d are missing, %d shields stand", told, len(b.missing.shields))
		}
		for p, text := range there {
			want, have, err := b.CheckPrefix(KeyOf(0, netip.MustParsePrefix(p)))
			if err != nil || want != have || want == 0 {
				t.Fatalf("%s: group %d, want %d, %v", text, have, want, err)
			}
		}
	}
	t.Logf("%d of %d addresses went to the kernel; at most %d prefixes missing; astray %d times", toKernel, checked, most, astray)
	if most == 0 || astray > 0 {
		t.Error("the image was never full, or had no room for changes")
	}
}
