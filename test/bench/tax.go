package bench

import (
	"context"
	"errors"
	"fmt"

	"weft/test/bench/peer"
)

// tax measures what each feature of weft costs a packet, alone and all together, beside weft without any.
func (b *bench) tax(ctx context.Context) (err error) {
	net, err := peer.New(ctx, peer.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	all := []turn{{net: net, system: untaxed}}
	for _, f := range peer.Features {
		b.describeSystem(f)
		all = append(all, turn{net: net, system: f.Name})
	}
	var bare float64
	return b.turns(ctx, "tax", b.smallest("1"), all, func(c oneCase, t turn, rate float64) {
		b.doc.Add(c.key("tax", t.system, "rate"), "pkt/s", false, rate)
		if t.system == untaxed {
			bare = rate
			return
		}
		b.doc.Add(c.key("tax", t.system, "tax"), "ns/pkt", true, 1e9/rate-1e9/bare)
	})
}

const untaxed = "weft_xdp"

// widths are those of ECMP that are measured.
var widths = []int{1, 2, 16, 256}

// ecmp measures routes with several next hops.
func (b *bench) ecmp(ctx context.Context) (err error) {
	var all []turn
	for _, w := range widths {
		net, e := peer.New(ctx, peer.Options{Width: w})
		if e != nil {
			return e
		}
		defer func() { err = errors.Join(err, net.Close()) }()
		for _, s := range b.among("linux", "fib_lookup", "weft_xdp") {
			all = append(all, turn{net, s, fmt.Sprintf("rate_of_%d", w)})
		}
	}
	return b.turns(ctx, "ecmp", b.smallest("1"), all, func(c oneCase, t turn, rate float64) {
		b.doc.Add(c.key("ecmp", t.system, t.metric), "pkt/s", false, rate)
	})
}
