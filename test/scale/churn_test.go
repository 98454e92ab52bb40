package scale

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"weft/fib"
	"weft/test/kernelroutes"
)

// churnRate is how many changes of routes a second weft is to follow.
const churnRate = 10_000

// probe is a change that is waited for in the image.
type probe struct {
	prefix     netip.Prefix
	want       fib.GroupID
	given      time.Time // before the kernel was given it
	generation uint64    // of the image then
}

// lags are how long probes took, in order.
type lags []time.Duration

func (l lags) part(p float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(int(p*float64(len(l))), len(l)-1)]
}

func (l lags) String() string {
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	return fmt.Sprintf("lag p50 %.1f, p99 %.1f, most %.1f ms", ms(l.part(0.5)), ms(l.part(0.99)), ms(l.part(1)))
}

// watch waits for probes in the order in which they come, until there are no more, and
// returns how long they took until they were published. Changes come in order, so the
// next one is not missed.
func (v *view) watch(probes <-chan probe) (all lags, lost int) {
	for p := range probes {
		deadline := p.given.Add(time.Minute)
		wait := func(is func() bool) {
			for !is() && time.Now().Before(deadline) {
				time.Sleep(200 * time.Microsecond)
			}
		}
		before := p.generation // the last one in which it was not there
		wait(func() bool {
			now := v.image.Generation()
			there := v.at(p.prefix) == p.want
			if !there {
				before = now
			}
			return there
		})
		wait(func() bool { return v.image.Generation() > before })
		if took := time.Since(p.given); took < time.Minute {
			all = append(all, took)
		} else {
			lost++
		}
	}
	slices.Sort(all)
	return all, lost
}

// churner changes routes or next-hop objects at a rate.
type churner struct {
	*scaled
	rate, perRound int                         // changes a second, and at once
	change         func(b *kernelroutes.Batch) // one of them

	random  *rand.Rand
	prefix  []netip.Prefix // that are changed
	gone    []netip.Prefix // of them: those that the kernel has not
	probes  []netip.Prefix
	groups  [2]fib.GroupID // that probes lead to: of objects 1 and 2
	toggled map[netip.Prefix]bool
	changes atomic.Uint64
	late    time.Duration // most that a round was behind its time
	answer  time.Duration // most that 'weft status' took
}

// newChurner makes one that leaves the probes to the watcher.
func (s *scaled) newChurner() *churner {
	s.Helper()
	c := &churner{scaled: s, random: rand.New(rand.NewPCG(1, 2)), toggled: map[netip.Prefix]bool{}}
	c.rate, c.perRound, c.change = churnRate, 100, c.changeRoute
	c.prefix = slices.Clone(s.table.v4[len(s.table.probes):])
	c.random.Shuffle(len(c.prefix), func(i, j int) { c.prefix[i], c.prefix[j] = c.prefix[j], c.prefix[i] })
	// Two routes stay, so that the groups of objects 1 and 2 do, and are known.
	c.probes = s.table.probes[len(c.groups):]
	s.Put(c.probes, 2)
	for i := range c.groups {
		s.Put(s.table.probes[i:i+1], uint32(i+1))
		s.CatchUp()
		c.groups[i] = s.view.at(s.table.probes[i])
	}
	if c.groups[0] == c.groups[1] {
		s.Fatalf("probes lead to group %d, whichever the object", c.groups[0])
	}
	return c
}

// run changes routes at the rate as long as it is to, and returns how long the probes took.
func (c *churner) run(d time.Duration) lags {
	c.Helper()
	probes := make(chan probe, 1<<16)
	type seen struct {
		lags lags
		lost int
	}
	stop, asked := make(chan struct{}), make(chan time.Duration)
	go func() { asked <- c.ask(stop) }()
	watched := make(chan seen)
	go func() {
		l, lost := c.view.watch(probes)
		watched <- seen{l, lost}
	}()
	c.in(func() error {
		defer close(probes)
		return c.give(d, probes)
	})
	w := <-watched
	close(stop)
	c.answer = <-asked
	if w.lost > 0 {
		c.Errorf("%d probes are not in the image after a minute", w.lost)
	}
	return w.lags
}

// ask asks how things are until it is to stop, and returns how long the slowest answer took.
func (s *scaled) ask(stop <-chan struct{}) (most time.Duration) {
	for {
		select {
		case <-stop:
			return most
		case <-time.After(100 * time.Millisecond):
		}
		start := time.Now()
		if o := s.Weft("status"); o.Code != 0 {
			s.Errorf("weft status: exit code %d\n%s", o.Code, o.Stderr)
		}
		most = max(most, time.Since(start))
	}
}

// give gives the kernel rounds of changes, each at its time. The last of a round is a
// probe.
func (c *churner) give(d time.Duration, probes chan<- probe) error {
	b, err := kernelroutes.Open()
	if err != nil {
		return err
	}
	defer b.Close()
	start := time.Now()
	for round := 0; ; round++ {
		due := time.Duration(round*c.perRound) * time.Second / time.Duration(c.rate)
		if due >= d {
			return nil
		}
		time.Sleep(time.Until(start.Add(due)))
		c.late = max(c.late, time.Since(start)-due)
		for range c.perRound - 1 {
			c.change(b)
		}
		p := c.probe(round, b)
		if err := b.Send(); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		probes <- p
		c.changes.Add(uint64(c.perRound))
	}
}

// changeRoute changes a route's next hop, deletes it, or adds one that was deleted.
func (c *churner) changeRoute(b *kernelroutes.Batch) {
	object := uint32(c.random.IntN(objects) + 1)
	switch n := len(c.gone); {
	case n > 0 && (c.random.IntN(4) == 0 || n > 5000):
		b.Put(c.gone[0], object)
		c.prefix, c.gone = append(c.prefix, c.gone[0]), c.gone[1:]
	case c.random.IntN(3) == 0:
		i := c.random.IntN(len(c.prefix))
		b.Delete(c.prefix[i])
		c.gone = append(c.gone, c.prefix[i])
		c.prefix[i] = c.prefix[len(c.prefix)-1]
		c.prefix = c.prefix[:len(c.prefix)-1]
	default:
		b.Put(c.prefix[c.random.IntN(len(c.prefix))], object)
	}
}

// probe makes a probe lead to the other object.
func (c *churner) probe(round int, b *kernelroutes.Batch) probe {
	p := c.probes[round%len(c.probes)]
	c.toggled[p] = !c.toggled[p]
	at := 1
	if c.toggled[p] {
		at = 0
	}
	b.Put(p, uint32(at+1))
	return probe{p, c.groups[at], time.Now(), c.view.image.Generation()}
}
