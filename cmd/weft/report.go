package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"weft/dataplane"
)

// report tells, at each interval, what came in since the last.
type report struct {
	router *router
	out    io.Writer
	at     time.Time
	before map[int]dataplane.Counters // by ifindex
}

func newReport(r *router, out io.Writer) *report {
	return &report{router: r, out: out, at: time.Now(), before: map[int]dataplane.Counters{}}
}

// portReport is one port of a report; packets of all but Total are a second's.
type portReport struct {
	Device  string                      `json:"dev"`
	Mode    dataplane.Mode              `json:"mode"`
	Forward float64                     `json:"forward_pps"`
	Punt    float64                     `json:"punt_pps"`
	Drop    float64                     `json:"drop_pps"`
	Total   map[dataplane.Reason]uint64 `json:"packets"`
}

func (p *report) print() error {
	now := time.Now()
	seconds := now.Sub(p.at).Seconds()
	p.at = now
	var ports []portReport
	for _, port := range p.router.engine.Ports() {
		c := p.router.engine.Counters(port.Number)
		before := p.before[port.Ifindex]
		since := c.Since(&before)
		p.before[port.Ifindex] = c
		rate := func(v dataplane.Verdict) float64 { return float64(since.Of(v).Packets) / seconds }
		one := portReport{
			Device: port.Name, Mode: port.Mode, Total: map[dataplane.Reason]uint64{},
			Forward: rate(dataplane.Forward), Punt: rate(dataplane.Punt), Drop: rate(dataplane.Drop),
		}
		for r := range dataplane.Reasons() {
			if n := c[r].Packets; n > 0 {
				one.Total[r] = n
			}
		}
		ports = append(ports, one)
	}
	if p.router.config.json {
		return json.NewEncoder(p.out).Encode(ports)
	}
	for _, one := range ports {
		_, err := fmt.Fprintf(p.out, "%-15s %-8s %12.0f fwd/s %10.0f punt/s %10.0f drop/s   %s\n",
			one.Device, one.Mode, one.Forward, one.Punt, one.Drop, one.reasons())
		if err != nil {
			return err
		}
	}
	return nil
}

// reasons lists the totals, most first.
func (p *portReport) reasons() string {
	type total struct {
		reason  dataplane.Reason
		packets uint64
	}
	var all []total
	for r, n := range p.Total {
		all = append(all, total{r, n})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].packets > all[j].packets })
	var b strings.Builder
	for _, t := range all {
		fmt.Fprintf(&b, "%s %d  ", t.reason, t.packets)
	}
	return b.String()
}
