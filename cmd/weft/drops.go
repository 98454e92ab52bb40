package main

import (
	"context"
	"fmt"
	"io"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"weft/dataplane"
)

type dropsOptions struct {
	follow  bool
	seconds float64
	reason  string
}

func newDropsCommand(e *env) *cobra.Command {
	var o dropsOptions
	cmd := &cobra.Command{
		Use: "drops", Short: "List what was not forwarded, by reason and port",
		Long: `Lists the packets that weft dropped, and those that it handed to Linux (punt), by
reason and by the port they came in by, most first. PPS is measured over -i
seconds; with -i 0 the command does not wait and leaves it out. The reason
unaccounted is packets that Linux has received and weft has counted nowhere.

With -f it goes on, and prints a line whenever a reason has counted: with --json
one object a line.`,
		Example: `  weft drops
  weft drops -i 0 --json
  weft drops -f --reason unresolved_neigh`,
		Annotations:       map[string]string{client: noun},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if o.follow {
				return interrupted(e.followDrops(cmd.Context(), &o))
			}
			return e.listDrops(cmd.Context(), &o)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on, and print what has counted")
	f.Float64VarP(&o.seconds, "interval", "i", 1, "`SECONDS` to measure over")
	f.StringVar(&o.reason, "reason", "", "only this `REASON`")
	complete(cmd, "reason", completeReasons)
	return cmd
}

func (o *dropsOptions) check() error {
	switch {
	case o.seconds < 0 || o.seconds > 3600:
		return usagef("-i %g: want 0 to 3600 seconds", o.seconds)
	case o.follow && o.seconds < 0.1:
		return usagef("-i %g: want 0.1 seconds or more with -f", o.seconds)
	case o.reason == "" || o.reason == unaccounted:
		return nil
	}
	var names []string
	for r := range dataplane.Reasons() {
		if r.String() == o.reason {
			return nil
		}
		names = append(names, r.String())
	}
	return usage("--reason "+o.reason+": no such reason", meant(o.reason, names, "'weft drops' lists those that have counted"))
}

// interrupted ends what goes on until it is interrupted: that is no failure.
func interrupted(err error) error {
	if err != nil && asFailure(err).what == "interrupted" {
		return nil
	}
	return err
}

// dropped is a reason's counter at a port.
type dropped struct {
	Reason   string   `json:"reason"`
	Verdict  string   `json:"verdict"`
	Packets  uint64   `json:"packets"`
	Bytes    uint64   `json:"bytes"`
	PPS      *float64 `json:"pps,omitempty"`
	Dev      string   `json:"dev"`
	LastSeen string   `json:"last_seen,omitempty"`

	lastSeen time.Time
}

// unaccounted stands where reasons do for packets that no reason has counted: nobody
// knows what became of them.
const unaccounted = "unaccounted"

type dropKey struct{ dev, reason string }

// readDrops asks for the counters that are not forwarded packets, most first.
func (e *env) readDrops(ctx context.Context, o *dropsOptions) ([]dropped, error) {
	reply, err := e.askPorts(ctx)
	var all []dropped
	for _, p := range reply.GetPorts() {
		for _, c := range p.GetCounters() {
			if c.GetVerdict() == "forward" || o.reason != "" && c.GetReason() != o.reason {
				continue
			}
			d := dropped{
				Reason: c.GetReason(), Verdict: c.GetVerdict(), Packets: c.GetPackets(), Bytes: c.GetBytes(), Dev: p.GetDev(),
				LastSeen: e.stamp(c.GetLastSeen()),
			}
			if c.GetLastSeen() != 0 {
				d.lastSeen = time.Unix(0, c.GetLastSeen())
			}
			all = append(all, d)
		}
		if n := p.GetUnaccounted(); n > 0 && (o.reason == "" || o.reason == unaccounted) {
			all = append(all, dropped{Reason: unaccounted, Verdict: "unknown", Packets: n, Dev: p.GetDev()})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Packets > all[j].Packets })
	return all, err
}

func (e *env) listDrops(ctx context.Context, o *dropsOptions) error {
	before, began := map[dropKey]uint64{}, e.now()
	if o.seconds > 0 {
		first, err := e.readDrops(ctx, o)
		if err != nil {
			return err
		}
		for _, d := range first {
			before[dropKey{d.Dev, d.Reason}] = d.Packets
		}
		if err := e.wait(ctx, time.Duration(o.seconds*float64(time.Second))); err != nil {
			return err
		}
	}
	all, err := e.readDrops(ctx, o)
	if err != nil {
		return err
	}
	if o.seconds > 0 {
		for i := range all {
			d := &all[i]
			pps := perSecond(d.Packets, before[dropKey{d.Dev, d.Reason}], e.now().Sub(began))
			d.PPS = &pps
		}
	}
	if e.json {
		return e.printJSON(append([]dropped{}, all...))
	}
	return printDrops(e.stdout, all, e.now())
}

// perSecond is the rate between two readings. Counters of a port that is new
// begin at 0 again.
func perSecond(now, before uint64, d time.Duration) float64 {
	if now < before {
		before = 0
	}
	if d <= 0 {
		return 0
	}
	return float64(now-before) / d.Seconds()
}

func printDrops(w io.Writer, all []dropped, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "nothing dropped, nothing handed to Linux")
		return err
	}
	t := newTable(w)
	fmt.Fprintln(t, "REASON\tVERDICT\tPACKETS\tPPS\tDEV\tLAST SEEN")
	for _, d := range all {
		pps, seen := "-", "-"
		if d.PPS != nil {
			pps = fmt.Sprintf("%.1f", *d.PPS)
		}
		if !d.lastSeen.IsZero() {
			seen = short(max(now.Sub(d.lastSeen), 0).Truncate(time.Second)) + " ago"
			if now.Sub(d.lastSeen) < 2*time.Second {
				seen = "now"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", d.Reason, d.Verdict, d.Packets, pps, d.Dev, seen)
	}
	return t.Flush()
}

// dropEvent is a line of 'drops -f'.
type dropEvent struct {
	Time    string `json:"time"`
	Dev     string `json:"dev"`
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	New     uint64 `json:"new"` // packets since the last line
	Packets uint64 `json:"packets"`
}

func (d *dropEvent) text() string {
	return fmt.Sprintf("%s %s xx %s (%s) +%d packets, %d in all", d.Time, d.Dev, d.Verdict, d.Reason, d.New, d.Packets)
}

func (e *env) followDrops(ctx context.Context, o *dropsOptions) error {
	var before map[dropKey]uint64
	for {
		all, err := e.readDrops(ctx, o)
		if err != nil {
			return err
		}
		now := map[dropKey]uint64{}
		for _, d := range all {
			key := dropKey{d.Dev, d.Reason}
			now[key] = d.Packets
			was := before[key]
			if d.Packets < was {
				was = 0
			}
			if before == nil || d.Packets == was {
				continue
			}
			if err := e.printLine(&dropEvent{e.stamp(e.now().UnixNano()), d.Dev, d.Verdict, d.Reason, d.Packets - was, d.Packets}); err != nil {
				return err
			}
		}
		before = now
		if err := e.wait(ctx, time.Duration(o.seconds*float64(time.Second))); err != nil {
			return err
		}
	}
}
