package main

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"

	"weft/test/bench"
)

// genFlags is the command line of 'weft bench gen', as it was typed.
type genFlags struct {
	dst, src               []string
	dstMAC, srcMAC         string
	sizes, rate            string
	count                  uint64
	time                   time.Duration
	flows, ttl, cpu, spots int
	seed                   uint64
}

func newBenchGenCommand(e *env) *cobra.Command {
	var f genFlags
	cmd := &cobra.Command{
		Use: "gen DEV", Short: "Send packets at a rate, made in the kernel",
		Long: `Sends UDP packets to port 9 from DEV, on one CPU, millions a second: an XDP program
writes every header, a sequence number and a time. 'weft bench sink' at another port, or
on another machine, counts them and finds out what was lost, and for how long packets were
under way. Nothing is printed to stdout but a line each second, and one of all.

Sizes are of whole Ethernet frames with their checksum: numbers, of which all are sent in
turns, imix (64, 570 and 1518 bytes as 7, 4 and 1), or a genome of RFC 6985. IPv6 frames
have 84 bytes at least. With destinations of both families, packets are of both in turns.

Up to 5000 packets a second it sleeps between them; above, it takes a CPU of its own.`,
		Example: `  sudo weft bench gen eth1 --dst 198.18.0.0/15 --dst-mac 02:00:00:00:00:01
  sudo weft bench gen eth1 --dst 198.18.0.0/15 --dst 2001:2::/48 --via 10.0.0.1 --rate 1M
  sudo weft bench gen eth1 --dst internet --via 192.0.2.1 --size imix --time 10s
  sudo weft -n h1 bench gen eth0 --dst 10.2.0.2 --via 10.1.0.1 --rate 1k --count 10 --json`,
		Annotations:       map[string]string{inFull: "yes"},
		Args:              oneDevice("bench gen"),
		ValidArgsFunction: completeDevices,
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.dst, "dst", nil, "`PREFIX` of destinations, or internet: all that its table has; may be repeated")
	flags.StringArrayVar(&f.src, "src", nil, "source `ADDRESS`; one of each family (default: 198.18.0.1, 2001:2::1)")
	flags.StringVar(&f.dstMAC, "dst-mac", "", "send to this `MAC`")
	via := flags.String("via", "", "send to the MAC of this neighbor's `ADDRESS`, as the kernel knows it")
	flags.StringVar(&f.srcMAC, "src-mac", "", "send from this `MAC` (default: DEV's)")
	flags.StringVar(&f.sizes, "size", "64", "`SIZE` of frames: bytes with commas, imix, genome:LETTERS")
	flags.StringVar(&f.rate, "rate", "max", "packets a second: `RATE` like 500, 100k, 1.5M, or max")
	flags.Uint64Var(&f.count, "count", 0, "end after `N` packets")
	flags.DurationVar(&f.time, "time", 0, "end after so long")
	flags.IntVar(&f.flows, "flows", 1<<14, "source ports: a power of two `N`")
	flags.IntVar(&f.spots, "destinations", 1<<16, "at most `N` addresses of each family")
	flags.IntVar(&f.ttl, "ttl", 64, "`TTL` or hop limit of packets")
	flags.Uint64Var(&f.seed, "seed", 1, "`N` that addresses are drawn by")
	flags.IntVar(&f.cpu, "cpu", -1, "work on CPU `N` (default: any)")
	complete(cmd, "size", choices("64", "128", "256", "512", "1024", "1280", "1518", "imix"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := f.options(args[0], *via)
		if err == nil {
			err = needRoot("bench gen", "to send by BPF")
		}
		if err == nil {
			err = bench.Gen(cmd.Context(), o, func(c bench.GenCount) error { return e.printLine(genLine(c)) })
		}
		return benchFailure("bench gen", err)
	}
	return cmd
}

type genLine bench.GenCount

func (c genLine) text() string {
	what := "now"
	if c.Done {
		what = "all"
	}
	line := fmt.Sprintf("%7.1f s  %s packets, %s: %s packets/s", c.Seconds, thousands(c.Packets), what, thousands(uint64(c.Rate)))
	if c.Skipped > 0 {
		line += fmt.Sprintf(", %s skipped: the CPU was too busy for the rate", thousands(c.Skipped))
	}
	return line
}

// options reads what was typed.
func (f *genFlags) options(device, via string) (o bench.GenOptions, err error) {
	o = bench.GenOptions{
		Device: device, Destinations: f.spots, Packets: f.count, Time: f.time, Flows: f.flows, TTL: f.ttl, Seed: f.seed, CPU: f.cpu,
	}
	if o.Sizes, err = bench.ParseSizes(f.sizes); err != nil {
		return o, usagef("--size: %v", err)
	}
	if o.Rate, err = bench.ParseRate(f.rate); err != nil {
		return o, usagef("--rate: %v", err)
	}
	switch {
	case f.flows < 1 || f.flows > 1<<14 || f.flows&(f.flows-1) != 0:
		return o, usagef("--flows %d: want a power of two up to %d", f.flows, 1<<14)
	case f.spots < 1 || f.spots > 1<<20:
		return o, usagef("--destinations %d: want 1 to %d", f.spots, 1<<20)
	case f.ttl < 1 || f.ttl > 255:
		return o, usagef("--ttl %d: want 1 to 255", f.ttl)
	case f.cpu < -1 || f.cpu >= runtime.NumCPU():
		return o, usagef("--cpu %d: this machine has CPUs 0 to %d", f.cpu, runtime.NumCPU()-1)
	case f.time < 0:
		return o, usagef("--time %s: want more than 0", f.time)
	case len(f.dst) == 0:
		return o, usage("bench gen: --dst is missing", "try '--dst 198.18.0.0/15', the range for benchmarks")
	}
	if err := f.addresses(&o); err != nil {
		return o, err
	}
	return o, f.macs(&o, via)
}

func (f *genFlags) addresses(o *bench.GenOptions) error {
	for _, d := range f.dst {
		if d == "internet" {
			all, err := bench.Internet()
			if err != nil {
				return err
			}
			o.Dst = append(o.Dst, all...)
			continue
		}
		p, err := netip.ParsePrefix(d)
		if a, e := netip.ParseAddr(d); e == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return usagef("--dst %s: want a prefix or an address, or internet", d)
		}
		o.Dst = append(o.Dst, p.Masked())
	}
	for _, s := range f.src {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return usagef("--src %s: want an address", s)
		}
		o.Src = append(o.Src, a)
	}
	return nil
}

func (f *genFlags) macs(o *bench.GenOptions, via string) (err error) {
	if f.srcMAC != "" {
		if o.SrcMAC, err = net.ParseMAC(f.srcMAC); err != nil || len(o.SrcMAC) != 6 {
			return usagef("--src-mac %s: want a MAC like 02:00:00:00:00:01", f.srcMAC)
		}
	}
	switch {
	case f.dstMAC != "" && via != "":
		return usage("--dst-mac and --via: exclude each other", "leave one out")
	case f.dstMAC != "":
		if o.DstMAC, err = net.ParseMAC(f.dstMAC); err != nil || len(o.DstMAC) != 6 {
			return usagef("--dst-mac %s: want a MAC like 02:00:00:00:00:01", f.dstMAC)
		}
	case via != "":
		o.DstMAC, err = neighborMAC(o.Device, via)
	default:
		return usage("bench gen: whom to send to is missing", "name the router by --via ADDRESS or --dst-mac MAC")
	}
	return err
}

// neighborMAC is what the kernel knows of a neighbor.
func neighborMAC(device, address string) (net.HardwareAddr, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return nil, usagef("--via %s: want an address", address)
	}
	link, err := netlink.LinkByName(device)
	if err != nil {
		return nil, noDevice(device, err)
	}
	all, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list neighbors of %s: %w", device, err)
	}
	for _, n := range all {
		if got, _ := netip.AddrFromSlice(n.IP); got.Unmap() == a && len(n.HardwareAddr) == 6 && n.State&netlink.NUD_NOARP == 0 {
			return n.HardwareAddr, nil
		}
	}
	return nil, fail(codeNotFound, fmt.Sprintf("--via %s: the kernel does not know its MAC on %s", address, device),
		fmt.Sprintf("'ping %s' makes it find out, or use --dst-mac", address))
}

// thousands prints a number in groups of three digits.
func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

func completeDevices(_ *cobra.Command, args []string, _ string) (all []cobra.Completion, _ cobra.ShellCompDirective) {
	links, err := netlink.LinkList()
	if err == nil && len(args) == 0 {
		for _, l := range links {
			all = append(all, cobra.CompletionWithDesc(l.Attrs().Name, strings.TrimSpace(l.Type()+" "+l.Attrs().HardwareAddr.String())))
		}
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}
