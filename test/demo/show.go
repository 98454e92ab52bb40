package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/control/api"
	"weft/test/lab"
	"weft/test/traffic"
)

// show is what the acts share.
type show struct {
	config
	out   io.Writer
	begin time.Time
	quit  context.CancelFunc // when nobody reads out any more

	heading string // a format

	cores cores
	lab   *lab.Lab // nil: not up

	table  *table
	stream *stream
	end    context.CancelFunc // of the stream
	daemon *lab.Process       // nil: none
	weftAt *daemonAPI         // of the daemon; nil: none
	before mark               // of the last live line
	found  results
}

// results are what the summary tells.
type results struct {
	routes             int
	loadTime           time.Duration
	linux, weft        float64 // packets a second with the full table, medians
	linuxCPU, weftCPU  float64 // share of the core at the pace, medians
	learned            time.Duration
	killSent, killLost uint64
	dead               time.Duration
}

func newShow(c config, out io.Writer, quit context.CancelFunc) *show {
	s := &show{config: c, out: out, quit: quit, begin: time.Now(), heading: "%s"}
	if f, ok := out.(*os.File); ok && os.Getenv("NO_COLOR") == "" {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			s.heading = "\033[1m%s\033[0m"
		}
	}
	return s
}

func (s *show) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(s.out, format, args...); err != nil {
		s.quit()
	}
}

// act says what is to be seen next.
func (s *show) act(format string, args ...any) {
	s.printf("\n"+s.heading+"\n", fmt.Sprintf("%5.1f s  ", time.Since(s.begin).Seconds())+fmt.Sprintf(format, args...))
}

// leftover removes what a demo left that was killed.
func (s *show) leftover() error {
	names, err := lab.Namespaces(s.prefix)
	if err != nil || len(names) == 0 {
		return err
	}
	s.printf("An earlier demo was killed: removing what it left.\n")
	if s.lab, err = lab.Open(s.prefix); err != nil { // it was killed while making them
		s.lab = nil
		return lab.Down(s.prefix)
	}
	return s.cleanUp()
}

// cleanUp removes everything; it is safe to call at any time.
func (s *show) cleanUp() (err error) {
	err = s.endStream()
	if s.lab == nil {
		return err
	}
	err = errors.Join(err, s.endDaemon())
	if e := s.lab.Down(); e != nil {
		return errors.Join(err, e)
	}
	s.lab = nil
	return err
}

// endDaemon ends weft whatever it is doing, and removes what it has left.
func (s *show) endDaemon() error {
	if s.daemon != nil {
		err := s.daemon.Signal(unix.SIGINT) // gives the ports back
		select {
		case <-s.daemon.Done:
		case <-time.After(5 * time.Second):
			err = errors.Join(err, s.killDaemon())
		}
		s.daemon, s.weftAt = nil, nil
		if err != nil {
			return err
		}
	}
	left, err := s.left()
	if err != nil || len(left) == 0 {
		return err
	}
	if _, err = s.lab.Output("r1", s.weft, "stop"); err != nil {
		return err
	}
	if left, err = s.left(); err == nil && len(left) > 0 {
		err = fmt.Errorf("weft stop has left %v", left)
	}
	return err
}

// endStream ends the traffic.
func (s *show) endStream() error {
	if s.stream == nil {
		return nil
	}
	s.end()
	err := s.stream.close()
	s.stream = nil
	return err
}

// startStream begins traffic; the last stream must have ended.
func (s *show) startStream(ctx context.Context, o traffic.SinkOptions) error {
	spec, err := s.spec()
	if err != nil {
		return err
	}
	t, err := newStream(s.lab, s.cores, s.second*2/5, spec, o)
	if err != nil {
		return err
	}
	s.stream = t
	ctx, s.end = context.WithCancel(ctx)
	t.start(ctx)
	s.before, err = t.counted()
	return err
}

// spec is of packets from h1 to everywhere by way of r1.
func (s *show) spec() (spec traffic.Spec, err error) {
	spec.Src, spec.Dst = s.lab.Addrs("h1")[0], s.table.destinations
	if spec.SrcMAC, err = s.mac("h1", "eth0"); err == nil {
		spec.DstMAC, err = s.mac("r1", "to-h1")
	}
	return spec, err
}

func (s *show) mac(node, name string) (mac [6]byte, err error) {
	err = s.lab.In(node, func() error {
		l, err := netlink.LinkByName(name)
		if err == nil {
			copy(mac[:], l.Attrs().HardwareAddr)
		}
		return err
	})
	return mac, err
}

func ifindex(name string) (int, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", name, err)
	}
	return l.Attrs().Index, nil
}

// samples are what live lines of one act have measured.
type samples struct{ rates, cores []float64 }

// watch prints a live line each second, n of them, or until enough says so. Note is more to tell in each line.
func (s *show) watch(ctx context.Context, n int, note func() string, enough func() bool) (all samples, err error) {
	tick := time.NewTicker(s.second)
	defer tick.Stop()
	for range n {
		select {
		case <-ctx.Done():
			return all, ctx.Err()
		case <-tick.C:
		}
		now, err := s.stream.counted()
		if err != nil {
			return all, err
		}
		if seconds := now.at.Sub(s.before.at).Seconds(); seconds > 0 {
			rate := float64(now.arrived-s.before.arrived) / seconds
			core := now.cpu.since(s.before.cpu)
			all.rates, all.cores = append(all.rates, rate), append(all.cores, core)
			s.printf("%5.1f s  %-5s %s sent  %s arrived  %3.0f %% of the core  lost %-6d %s\n",
				time.Since(s.begin).Seconds(), s.forwarder(now), perSecond(float64(now.sent-s.before.sent)/seconds),
				perSecond(rate), core*100, lost(now), note())
			s.before = now
		}
		if enough != nil && enough() {
			return all, nil
		}
	}
	return all, nil
}

func lost(m mark) uint64 { return m.sent - min(m.arrived, m.sent) }

// forwarder tells who has forwarded what arrived since the last line, by the kernel's counter.
func (s *show) forwarder(now mark) string {
	arrived, kernel := now.arrived-s.before.arrived, now.kernel-s.before.kernel
	switch {
	case arrived == 0:
		return "-"
	case kernel >= arrived*99/100:
		return "Linux"
	case kernel <= arrived/100:
		return "weft"
	}
	return "both"
}

// perSecond tells a rate in six columns and a unit.
func perSecond(rate float64) string {
	if rate < 1e6 {
		return fmt.Sprintf("%6.0f kpps", rate/1e3)
	}
	return fmt.Sprintf("%6.2f Mpps", rate/1e6)
}

// median is that of what is left without the first and the last, which belong to the acts beside as well.
func median(all []float64) float64 {
	if len(all) > 3 {
		all = all[1 : len(all)-1]
	}
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

func none() string { return "" }

// command shows a command of weft as an operator types it, and what it answers.
func (s *show) command(args ...string) error {
	s.printf("\n         # weft -n %s %s\n", s.lab.Namespace("r1"), strings.Join(args, " "))
	out, err := s.lab.Output("r1", append([]string{s.weft}, args...)...)
	for line := range strings.Lines(string(out)) {
		if strings.TrimSpace(line) != "" {
			s.printf("         %s", line)
		}
	}
	s.printf("\n")
	return err
}

// left returns what weft has in file systems for the router.
func (s *show) left() (paths []string, err error) {
	var inode string
	if err := s.lab.In("r1", func() (err error) { inode, err = api.Netns(); return err }); err != nil {
		return nil, err
	}
	for _, pattern := range []string{"/sys/fs/bpf/weft/" + inode + "*", api.Socket(inode)} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	return paths, nil
}

// first returns the address of a node of one family.
func (s *show) first(node string, v6 bool) netip.Addr {
	for _, a := range s.lab.Addrs(node) {
		if a.Is6() == v6 {
			return a
		}
	}
	return netip.Addr{}
}
