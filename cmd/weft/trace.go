package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/api"
)

func newTraceCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "trace", Short: "Show packets on their way, step by step, with the decision at each",
		Long: `Shows the packets that were traced: 'weft trace add' says which. Steps and words are
those of 'weft routes get ... explain', of packets that really came; routes are
explained as they were when the packet was read.

Of packets of the userspace engine the stages of its loop stand above the steps, and
what it finished itself below: ICMP errors, fragments, waiting for a neighbor.

While there is a trace that waits for packets, the program that forwards is one that
writes down what it does. It comes and goes without losing a packet. What is too much
for who reads it is forwarded as ever, and counted as lost by the trace.`,
		Example: `  weft trace add 'udp port 53' 10
  weft trace show
  weft trace add --verdict drop 5
  weft trace clear`,
		Annotations:       map[string]string{client: noun},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE:              func(cmd *cobra.Command, _ []string) error { return e.showTraces(cmd.Context()) },
	}
	cmd.AddCommand(newTraceAddCommand(e), newTraceClearCommand(e))
	return cmd
}

func newTraceAddCommand(e *env) *cobra.Command {
	var w wanted
	cmd := &cobra.Command{
		Use: "add [FILTER] N", Short: "Trace the next N packets that pass a filter",
		Long: `Has the next N packets traced that pass a filter, beside those that other traces wait
for, and returns at once. 'weft trace show' shows them.

` + filterHelp,
		Example: `  weft trace add 10
  weft trace add udp port 53 10
  weft trace add 'tcp[tcpflags] & tcp-syn != 0' 5 --dev eth0
  weft trace add 3 --reason ttl_value_is_too_small,unresolved_neigh`,
		Annotations: map[string]string{client: "yes", inFull: "yes"},
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("trace add: the number of packets is missing", "try 'weft trace add 10'")
			}
			last := len(args) - 1
			n, err := strconv.ParseUint(args[last], 10, 32)
			if err != nil || n == 0 {
				return usage(args[last]+": not a number of packets", "it comes last: 'weft trace add udp port 53 10'")
			}
			q, err := w.request(args[:last], n)
			if err != nil {
				return err
			}
			return e.addTrace(cmd.Context(), q)
		},
	}
	w.flags(e, cmd)
	return cmd
}

func newTraceClearCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "clear", Short: "End all traces and forget what they have",
		Long:    "Ends all traces, and forgets the packets that they have. Captures go on.",
		Example: "  weft trace clear", Annotations: map[string]string{client: "yes", inFull: "yes"},
		Args: atMost(0), ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.clearTraces(cmd.Context()) },
	}
}

func (e *env) addTrace(ctx context.Context, q *api.TraceRequest) error {
	var r *api.AddTraceReply
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) (err error) {
		r, err = c.AddTrace(ctx, q)
		return err
	})
	switch {
	case err != nil:
		return err
	case e.json:
		return e.printJSON(map[string]uint32{"trace": r.GetId()})
	}
	_, err = fmt.Fprintf(e.stdout, "trace %d waits for %s: %s\n", r.GetId(), count(q.GetCount(), "packet"), inWords(q))
	return err
}

func (e *env) clearTraces(ctx context.Context) error {
	var r *api.ClearTracesReply
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) (err error) {
		r, err = c.ClearTraces(ctx, &api.ClearTracesRequest{})
		return err
	})
	switch {
	case err != nil:
		return err
	case e.json:
		return e.printJSON(map[string]uint32{"traces": r.GetTraces()})
	}
	_, err = fmt.Fprintf(e.stdout, "%s cleared\n", count(r.GetTraces(), "trace"))
	return err
}

// tracesJSON is what trace show prints as JSON.
type tracesJSON struct {
	Traces  []traceJSON  `json:"traces"`
	Packets []tracedJSON `json:"packets"`
}

type traceJSON struct {
	ID       uint32   `json:"trace"`
	Filter   string   `json:"filter"`
	Reasons  []string `json:"reasons,omitempty"`
	Verdicts []string `json:"verdicts,omitempty"`
	Dev      string   `json:"dev,omitempty"`
	Engine   string   `json:"engine,omitempty"`
	Count    uint64   `json:"count"`
	Packets  uint64   `json:"packets"`
	Lost     uint64   `json:"lost"`
	Active   bool     `json:"active"`
	Added    string   `json:"added"`
}

type tracedJSON struct {
	Trace uint32 `json:"trace"`
	capturedJSON
	Prefix    string     `json:"prefix"`
	Gateway   string     `json:"gateway,omitempty"`
	Lladdr    string     `json:"lladdr,omitempty"`
	GroupKind string     `json:"group_kind,omitempty"`
	Explained []stepJSON `json:"explained"`
}

type stepJSON struct {
	Step string   `json:"step"`
	Text string   `json:"text"`
	More []string `json:"more,omitempty"`
}

func (e *env) showTraces(ctx context.Context) error {
	var traces []*api.Trace
	var packets []*api.TracedPacket
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) error {
		stream, err := c.ShowTraces(ctx, &api.ShowTracesRequest{})
		for err == nil {
			var m *api.Traces
			if m, err = stream.Recv(); err == nil {
				traces, packets = append(traces, m.GetTraces()...), append(packets, m.GetPackets()...)
			}
		}
		return ended(err)
	})
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(e.newTraces(traces, packets))
	}
	w := e.out()
	if len(traces) == 0 {
		fmt.Fprintln(w, "nothing is traced: 'weft trace add [FILTER] N' begins")
	}
	for _, t := range traces {
		fmt.Fprintln(w, traceInWords(t))
	}
	for i, p := range packets {
		_, _ = io.WriteString(w, "\n"+e.tracedInWords(i+1, p)) // errors stay until Flush
	}
	return w.Flush()
}

func traceInWords(t *api.Trace) string {
	state := "done"
	if t.GetActive() {
		state = "waiting"
	} else if t.GetPackets() < t.GetRequest().GetCount() {
		state = "ended"
	}
	s := fmt.Sprintf("trace %d: %d of %s, %s: %s", t.GetId(), t.GetPackets(), count(t.GetRequest().GetCount(), "packet"), state, inWords(t.GetRequest()))
	if n := t.GetLost(); n > 0 {
		s += fmt.Sprintf(" (%d more had no room)", n)
	}
	return s
}

// stageOf is the stage of the loop that takes a step.
var stageOf = map[string]string{
	stepParse: "input", stepChecks: "input", stepLPM: "lookup", stepGroup: "rewrite", stepTTL: "rewrite", stepHash: "rewrite",
	stepNeighbor: "rewrite", stepMTU: "rewrite", stepRewrite: "rewrite", stepRedirect: "rewrite",
}

// tracedInWords is one packet, step by step.
func (e *env) tracedInWords(number int, t *api.TracedPacket) string {
	var b strings.Builder
	p, r := t.GetPacket(), t.GetDecision()
	fmt.Fprintf(&b, "packet %d  %s  in by %s (%s)  %d bytes  trace %d\n", number, e.stamp(p.GetTime()), p.GetRoot(), engineName(r.GetEngine(), r.GetMode()),
		p.GetBytes(), t.GetTrace())
	before, after := decode(p.GetFrame()), decode(p.GetSent())
	stage := ""
	for i, s := range walked(r, before, after) {
		if p.Loop != nil && stageOf[s.name] != stage {
			if stage == "input" && p.GetLoop().GetPartial() {
				b.WriteString(" features\n             checksum left to hardware by the host\n")
			}
			stage = stageOf[s.name]
			fmt.Fprintf(&b, " %s%s\n", stage, stageNote(stage, p.GetLoop()))
		}
		s.write(&b, i, r)
	}
	if p.Loop != nil {
		finished(&b, p)
		return b.String()
	}
	fmt.Fprintf(&b, "  verdict: %s\n", verdictInWords(&api.LookupReply{Verdict: p.GetVerdict(), Reason: p.GetReason(), Dev: p.GetEgress()}))
	return b.String()
}

func stageNote(stage string, l *api.LoopSteps) string {
	if stage != "input" {
		return ""
	}
	var notes []string
	if l.GetAgain() {
		notes = append(notes, "it was held, and goes on")
	}
	if l.GetSlow() {
		notes = append(notes, "looked at step by step")
	}
	if n := l.GetTags(); n > 0 {
		notes = append(notes, count(n, "tag")+" taken off")
	}
	if len(notes) == 0 {
		return ""
	}
	return ": " + strings.Join(notes, ", ")
}

// finished tells what the loop did with a packet after its decision.
func finished(b *strings.Builder, p *api.CapturedPacket) {
	l := p.GetLoop()
	if len(l.GetFates()) > 0 {
		fmt.Fprintf(b, " finish\n             %s\n", strings.Join(l.GetFates(), ", "))
	}
	if p.GetEgress() != "" || len(l.GetSent()) > 0 {
		b.WriteString(" transmit\n")
	}
	if p.GetEgress() != "" {
		fmt.Fprintf(b, "             %s: the packet, %d bytes\n", p.GetEgressRoot(), p.GetSentBytes())
	}
	for _, s := range l.GetSent() {
		fmt.Fprintf(b, "             %s: %s\n", s.GetDev(), decode(s.GetFrame()).ip())
	}
	words := p.GetVerdict() + " (" + p.GetReason() + ")"
	switch {
	case p.GetVerdict() == "forward":
		words += " by " + p.GetEgress()
	case p.GetVerdict() == "punt" && strings.Contains(strings.Join(l.GetFates(), " "), "punted"):
		words += ": Linux finishes it"
	case p.GetVerdict() == "punt":
		words += ": finished here"
	}
	fmt.Fprintf(b, "  verdict: %s\n", words)
}

func (e *env) newTraces(traces []*api.Trace, packets []*api.TracedPacket) *tracesJSON {
	out := &tracesJSON{[]traceJSON{}, []tracedJSON{}}
	for _, t := range traces {
		q := t.GetRequest()
		out.Traces = append(out.Traces, traceJSON{
			t.GetId(), q.GetFilter(), q.GetReasons(), q.GetVerdicts(), q.GetDev(), q.GetEngine(), q.GetCount(), t.GetPackets(), t.GetLost(), t.GetActive(),
			e.stamp(t.GetAdded()),
		})
	}
	for _, t := range packets {
		p, r := t.GetPacket(), t.GetDecision()
		one := tracedJSON{
			Trace: t.GetTrace(), capturedJSON: *e.newCaptured(p), Prefix: r.GetPrefix(), Gateway: r.GetGateway(), Lladdr: r.GetLladdr(),
			GroupKind: r.GetGroupKind(), Explained: []stepJSON{},
		}
		for _, s := range walked(r, decode(p.GetFrame()), decode(p.GetSent())) {
			one.Explained = append(one.Explained, stepJSON{s.name, s.text, s.sub})
		}
		out.Packets = append(out.Packets, one)
	}
	return out
}
