package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"weft/test/lab"
	"weft/test/traffic"
)

const picture = `
              10.1.0.2         10.1.0.1     10.2.0.1         10.2.0.2
         h1 ---------------------------- r1 ---------------------------- h2
         sends to the whole Internet     routes       receives everything
`

func (s *show) build(ctx context.Context) (err error) {
	s.act("Two hosts and a router: network namespaces and veth pairs, as `weft lab up two-hosts` makes them.")
	if s.cores, err = divideCores(); err != nil {
		return err
	}
	if err := s.cores.keepOff(); err != nil {
		return err
	}
	if s.lab, err = lab.Up(ctx, lab.TwoHosts(), lab.Options{Prefix: s.prefix}); err != nil {
		return err
	}
	s.printf("%s\n", picture)
	reaches, err := s.lab.Check(ctx)
	if err != nil {
		return err
	}
	for _, r := range reaches {
		if r.Error != "" {
			return fmt.Errorf("%s does not reach %s: %s", r.From, r.Addr, r.Error)
		}
		if r.From == "h1" {
			s.printf("         h1 reaches h2 at %-15s in %.0f us, through Linux\n", r.Addr, float64(r.RTT.Nanoseconds())/1000)
		}
	}
	return nil
}

func (s *show) load(ctx context.Context) (err error) {
	if s.table, err = readTable(s.routes); err != nil {
		return err
	}
	mac, err := s.mac("h2", "eth0")
	if err == nil {
		err = s.table.addNeighbors(s.lab, mac)
	}
	if err != nil {
		return err
	}
	s.act("Traffic to h2 at %s through Linux, while %d routes go into the router's kernel.", pace(s.pace), s.table.len())
	s.printf("         CPU %d is for the traffic, and for what forwards it; all else runs on other cores, if there are any.\n", s.cores.traffic)
	everywhere := s.table.destinations // most of them have no route yet
	s.table.destinations = []netip.Addr{s.first("h2", false)}
	err = s.startStream(ctx, traffic.SinkOptions{})
	s.table.destinations = everywhere
	if err != nil {
		return err
	}
	s.stream.setRate(s.pace)
	begin := time.Now()
	loaded := make(chan error, 1)
	go func() { // ends with ctx, and before cleanUp: the namespace is open as long
		err := s.table.load(ctx, s.lab)
		s.found.loadTime = time.Since(begin)
		loaded <- err
	}()
	progress := func() string { return fmt.Sprintf("%7d routes", s.table.loaded.Load()) }
	_, err = s.watch(ctx, 90, progress, func() bool { return len(loaded) > 0 })
	if err == nil && len(loaded) == 0 {
		err = errors.New("the kernel's table is not loaded after 90 s")
	}
	if err = errors.Join(err, <-loaded); err != nil {
		return err
	}
	s.found.routes = s.table.len()
	return s.endStream()
}

func pace(n int) string { return fmt.Sprintf("%d,%03d packets a second", n/1000, n%1000) }

func (s *show) linux(ctx context.Context) error {
	s.act("Linux with the full table, to random destinations in it: at the same pace, then as many as one core can do.")
	if err := s.startStream(ctx, traffic.SinkOptions{}); err != nil {
		return err
	}
	s.stream.setRate(s.pace)
	all, err := s.watch(ctx, 4, none, nil)
	if err != nil {
		return err
	}
	s.found.linuxCPU = median(all.cores)
	s.stream.setRate(flood)
	all, err = s.watch(ctx, 6, none, nil)
	s.found.linux = median(all.rates)
	return err
}

func (s *show) attach(ctx context.Context) (err error) {
	s.act("`weft run` beside it, nothing else changed: it follows the kernel's routes and takes the ports over.")
	if s.found.learned, _, err = s.startDaemon(ctx); err != nil {
		return err
	}
	s.printf("         weft forwards, %.1f s after its start.\n", s.found.learned.Seconds())
	all, err := s.watch(ctx, 8, func() string { return s.topDrops(ctx) }, nil)
	if err != nil {
		return err
	}
	s.found.weft = median(all.rates)
	s.printf("         %.1f times what Linux forwards, on the same core, with the same table.\n", s.found.weft/s.found.linux)
	return nil
}

func (s *show) explain(ctx context.Context) error {
	s.act("Why does a packet go where it goes? The answer is the running program's own.")
	to := s.table.destinations[0]
	if known := netip.MustParseAddr("1.1.1.1"); slices.ContainsFunc(s.table.v4, func(p netip.Prefix) bool { return p.Contains(known) }) {
		to = known
	}
	return s.command("routes", "get", to.String(), "explain")
}

func (s *show) drops(ctx context.Context) error {
	s.act("%d packets each with TTL 1, a wrong checksum, a source that cannot be, no route: each has a reason and a count.", badPackets)
	if err := s.endStream(); err != nil {
		return err
	}
	if err := s.sendBadPackets(); err != nil {
		return err
	}
	if err := s.command("drops"); err != nil {
		return err
	}
	s.printf("         What is punted, Linux gets: it answers TTL 1, and it forwarded what came while a port was not attached yet.\n")
	return nil
}

func (s *show) kill(ctx context.Context) error {
	s.act("`kill -9` of the daemon under %s, each with a number.", pace(s.pace))
	// A sink that checks each packet takes the place of the one that only counts.
	if err := s.startStream(ctx, traffic.SinkOptions{Check: true}); err != nil {
		return err
	}
	s.stream.setRate(s.pace)
	before, err := s.watch(ctx, 3, none, nil)
	if err != nil {
		return err
	}
	pid := s.daemon.Pid
	if err := s.killDaemon(); err != nil {
		return err
	}
	died := time.Now()
	s.printf("         # kill -9 %d\n", pid)
	dead, err := s.watch(ctx, 4, func() string { return "no daemon" }, nil)
	if err != nil {
		return err
	}
	s.found.dead = time.Since(died)
	s.printf("         # weft run\n")
	if _, _, err := s.startDaemon(ctx); err != nil {
		return err
	}
	after, err := s.watch(ctx, 3, none, nil)
	if err != nil {
		return err
	}
	s.found.weftCPU = median(slices.Concat(before.cores, dead.cores, after.cores))
	return s.countLost()
}

// countLost ends the traffic and looks for each packet.
func (s *show) countLost() error {
	s.stream.setRate(0)
	sent := s.stream.gen.Sent()
	c, err := s.stream.sink.Wait(sent)
	if err != nil {
		return err
	}
	missing, err := s.stream.sink.Missing(0, int(sent))
	if err != nil {
		return err
	}
	refused, err := s.stream.refused()
	if err != nil {
		return err
	}
	s.found.killSent, s.found.killLost = sent-refused, uint64(len(missing))-min(refused, uint64(len(missing)))
	s.printf("         %d packets sent, %d lost, %d twice, %d damaged, by their numbers.\n",
		s.found.killSent, s.found.killLost, c.Repeated, c.Corrupt)
	return s.endStream()
}

func (s *show) stop(ctx context.Context) error {
	s.act("`weft stop` gives the machine back; Linux goes on.")
	if err := s.startStream(ctx, traffic.SinkOptions{}); err != nil {
		return err
	}
	s.stream.setRate(s.pace)
	if _, err := s.watch(ctx, 1, none, nil); err != nil {
		return err
	}
	if err := s.command("stop"); err != nil {
		return err
	}
	s.daemon, s.weftAt = nil, nil
	if _, err := s.watch(ctx, 2, none, nil); err != nil {
		return err
	}
	if err := s.endStream(); err != nil {
		return err
	}
	return s.wantNothingLeft()
}
