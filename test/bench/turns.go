package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weft/test/bench/peer"
	"weft/test/traffic"
)

// lane is a network that systems forward in, and the packets of a case in it.
type lane struct {
	net *peer.Network
	g   *traffic.Generator
}

// lanes keeps what was made of them, each once.
type lanes map[*peer.Network]map[oneCase]*traffic.Generator

func (l lanes) of(net *peer.Network, c oneCase, system string) (_ lane, err error) {
	if net, err = net.Of(system); err != nil {
		return lane{}, err
	}
	if l[net] == nil {
		l[net] = map[oneCase]*traffic.Generator{}
	}
	if l[net][c] == nil {
		if l[net][c], err = c.generator(net, 0); err != nil {
			return lane{}, err
		}
	}
	return lane{net, l[net][c]}, nil
}

func (l lanes) close() {
	for _, all := range l {
		for _, g := range all {
			g.Close()
		}
	}
}

// turn is a system that is measured, in a network or one like it.
type turn struct {
	net    *peer.Network
	system string
	metric string
}

// turns measures at saturation: in each round, all of a case one after the other. Add is told each rate.
func (b *bench) turns(ctx context.Context, test string, cases []oneCase, all []turn, add func(oneCase, turn, float64)) error {
	made := lanes{}
	defer made.close()
	for round := range b.Rounds {
		for _, c := range cases {
			b.tell("%s %s, %s routes, size %s: round %d of %d", test, c.family, c.table, c.size, round+1, b.Rounds)
			for _, t := range all {
				l, err := made.of(t.net, c, t.system)
				if err != nil {
					return err
				}
				rate, err := b.saturate(ctx, l, t.system)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", test, t.system, err)
				}
				add(c, t, rate)
			}
			b.done++
		}
	}
	return nil
}

// saturate returns how many packets a second a system forwards when as many come as go.
func (b *bench) saturate(ctx context.Context, l lane, system string) (rate float64, err error) {
	a, err := l.net.Attach(system)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.Detach()) }()
	var o peer.Outcome
	for _, d := range []time.Duration{warmFor, mrrFor} {
		if o, err = l.net.Trial(ctx, l.g, traffic.Load{Time: b.lasting(d)}); err != nil {
			return 0, err
		}
	}
	if o.Got.Packets == 0 {
		return 0, fmt.Errorf("%s: no packet came through", system)
	}
	return o.Got.Rate, nil
}

// withSystem calls f while a system forwards, in the network that is its own, with what makes a case's packets. What the system leaves to
// Linux is no error: what arrives is what is measured.
func withSystem(net *peer.Network, c oneCase, system string, stamp int, f func(*peer.Network, *traffic.Generator) error) (err error) {
	if net, err = net.Of(system); err != nil {
		return err
	}
	g, err := c.generator(net, stamp)
	if err != nil {
		return err
	}
	defer g.Close()
	return whileAttached(net, system, func() error { return f(net, g) })
}

func whileAttached(net *peer.Network, system string, f func() error) error {
	a, err := net.Attach(system)
	if err != nil {
		return err
	}
	err = f()
	if e := a.Detach(); !errors.Is(e, peer.ErrUnforwarded) {
		err = errors.Join(err, e)
	}
	return err
}

// smallest are cases of the least size, with a table of which only the name is told; in a short run of one family.
func (b *bench) smallest(table string) (all []oneCase) {
	families := b.Families
	if b.Short {
		families = families[:1]
	}
	for _, family := range families {
		all = append(all, oneCase{family, table, sizeOf(family, b.Sizes[0])})
	}
	return all
}

// among are those systems of a list that are measured in this run.
func (b *bench) among(names ...string) (all []string) {
	for _, s := range b.Systems {
		for _, n := range names {
			if s == n {
				all = append(all, s)
			}
		}
	}
	return all
}
