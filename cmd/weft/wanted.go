package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weft/control/api"
	"weft/dataplane"
	"weft/dataplane/filter"
)

// wanted is the flags that say which packets are, besides the filter: of trace and capture.
type wanted struct {
	reasons, verdicts []string
	dev, engine       string
	snap              uint32
	duration          time.Duration
}

const filterHelp = `Filters are those of tcpdump: pcap-filter(7), without names of hosts. One of several
words may be written with quotes or without.`

func (w *wanted) flags(e *env, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&w.reasons, "reason", nil, "only packets that end for this `REASON`; several with commas")
	f.StringSliceVar(&w.verdicts, "verdict", nil, "only packets with this `VERDICT`: forward, punt or drop; several with commas")
	f.StringVar(&w.dev, "dev", "", "only packets that come in by this `PORT`")
	f.StringVar(&w.engine, "engine", "", "only packets of this `ENGINE`: xdp or soft")
	f.Uint32VarP(&w.snap, "snaplen", "s", 0, "keep so many `BYTES` of each packet")
	f.DurationVar(&w.duration, "duration", 0, "end after this `TIME`, as 10s")
	complete(cmd, "reason", func() (out []cobra.Completion) {
		for r := range dataplane.Reasons() {
			out = append(out, cobra.CompletionWithDesc(r.String(), r.Verdict().String()))
		}
		return out
	})
	complete(cmd, "verdict", choices("forward", "punt", "drop"))
	complete(cmd, "dev", e.completePorts)
	complete(cmd, "engine", choices("xdp", "soft"))
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return filterWords, cobra.ShellCompDirectiveNoFileComp
	}
}

// filterWords are those that filters begin with most.
var filterWords = []cobra.Completion{
	"ip\tIPv4", "ip6\tIPv6", "arp\tARP", "tcp\tTCP", "udp\tUDP", "icmp\tICMP", "icmp6\tICMPv6", "host\tan address", "net\ta prefix",
	"port\ta port of TCP, UDP or SCTP", "src\tfrom an address", "dst\tto an address", "vlan\ttagged", "not\tthe reverse", "less\tshort packets",
	"greater\tlong packets",
}

// request finds mistakes before the daemon is asked.
func (w *wanted) request(words []string, count uint64) (*api.TraceRequest, error) {
	text := strings.Join(words, " ")
	if _, err := filter.Parse(text); err != nil {
		return nil, usage(err.Error(), "")
	}
	var names []string
	for r := range dataplane.Reasons() {
		names = append(names, r.String())
	}
	for _, r := range w.reasons {
		if err := new(dataplane.Reason).UnmarshalText([]byte(r)); err != nil {
			return nil, usage("--reason "+r+": no such reason", meant(r, names, "'weft drops' lists those that have counted"))
		}
	}
	if w.duration < 0 {
		return nil, usagef("--duration %v: want one above 0", w.duration)
	}
	return &api.TraceRequest{
		Filter: text, Reasons: w.reasons, Verdicts: w.verdicts, Dev: w.dev, Engine: w.engine, Count: count, Snap: w.snap,
		Duration: w.duration.Nanoseconds(),
	}, nil
}

// inWords is a request as it was written.
func inWords(q *api.TraceRequest) string {
	words := []string{"all packets"}
	if q.GetFilter() != "" {
		words = []string{q.GetFilter()}
	}
	for _, w := range []struct{ name, value string }{
		{"--reason ", strings.Join(q.GetReasons(), ",")}, {"--verdict ", strings.Join(q.GetVerdicts(), ",")}, {"--dev ", q.GetDev()},
		{"--engine ", q.GetEngine()},
	} {
		if w.value != "" {
			words = append(words, w.name+w.value)
		}
	}
	return strings.Join(words, " ")
}
