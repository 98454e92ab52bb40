package bench

import (
	"context"
	"errors"
	"fmt"

	"weft/test/bench/peer"
)

// routers measures chains of routers on one CPU, each in a network namespace: what a router costs, and how many there is
// room for.
func (b *bench) routers(ctx context.Context) (err error) {
	var all []turn
	for _, n := range b.chains() {
		net, e := peer.New(ctx, peer.Options{Routers: n})
		if e != nil {
			return e
		}
		defer func() { err = errors.Join(err, net.Close()) }()
		for _, s := range b.among("linux", "fib_lookup", "ceiling", "weft_xdp") {
			all = append(all, turn{net, s, fmt.Sprintf("rate_of_%d", n)})
		}
	}
	return b.turns(ctx, "routers", b.smallest("1"), all, func(c oneCase, t turn, rate float64) {
		b.doc.Add(c.key("routers", t.system, t.metric), "pkt/s", false, rate)
	})
}

// chains are how many routers there are; each takes one from the packets' TTL of 64.
func (b *bench) chains() []int {
	if b.Short {
		return []int{1, 4, 16}
	}
	return []int{1, 2, 4, 8, 16, 32}
}
