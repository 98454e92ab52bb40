package main

import (
	"fmt"
	"strings"

	"weft/control/api"
	"weft/control/config"
	"weft/dataplane"
)

// Steps of the program, in its order (bpf/weft.c).
const (
	stepParse     = "parse"
	stepChecks    = "checks"
	stepLPM       = "lpm"
	stepGroup     = "group"
	stepTTL       = "ttl"
	stepHash      = "hash"
	stepNeighbor  = "neighbor"
	stepMTU       = "mtu"
	stepRewrite   = "rewrite"
	stepRedirect  = "redirect"
	stepForwarded = ""
)

// stops tells at which step a packet ends for a reason. Those that are not here
// are found by the checks.
var stops = map[dataplane.Reason]string{
	dataplane.Forwarded: stepForwarded,

	dataplane.FrameCorrupted: stepParse, dataplane.NonIP: stepParse, dataplane.ARP: stepParse, dataplane.NotOurMAC: stepParse,
	dataplane.VLANUnknown: stepParse, dataplane.PortUnknown: stepParse, dataplane.IPHeaderCorrupted: stepParse,
	dataplane.IPv4ChecksumWrong: stepParse, dataplane.IPLengthWrong: stepParse,

	dataplane.IPv4LPMMiss: stepLPM, dataplane.IPv6LPMMiss: stepLPM,

	dataplane.LocalRoute: stepGroup, dataplane.Glean: stepGroup, dataplane.RejectRoute: stepGroup, dataplane.PuntRoute: stepGroup,
	dataplane.BlackholeRoute: stepGroup, dataplane.NoGroup: stepGroup,

	dataplane.TTLValueIsTooSmall: stepTTL, dataplane.MTUValueIsTooSmall: stepMTU,
	dataplane.UnresolvedNeigh: stepNeighbor, dataplane.NoAdjacency: stepNeighbor, dataplane.EncapUnknown: stepNeighbor,
	dataplane.ErifDisabled: stepRedirect, dataplane.RewriteFailed: stepRewrite,
}

// stopsAt returns the step that a packet ended at.
func stopsAt(r *api.LookupReply) string {
	var reason dataplane.Reason
	if err := reason.UnmarshalText([]byte(r.GetReason())); err != nil {
		return stepChecks // of a newer daemon
	}
	step, known := stops[reason]
	switch {
	case known:
		return step
	case r.GetGroup() != 0:
		return stepGroup // a group that punts says for which reason
	}
	return stepChecks
}

// explanation tells a lookup in steps.
func explanation(q *query, r *api.LookupReply) string {
	var b strings.Builder
	fmt.Fprintln(&b, newAnswer(q, r).text())
	before, after := decode(r.GetPacket()), decode(r.GetResult())
	last := stopsAt(r)
	for i, s := range steps(r, before, after) {
		text := s.text
		if s.name == last {
			text = strings.TrimPrefix(text+" -> "+r.GetVerdict()+": "+r.GetReason(), " ")
		}
		fmt.Fprintf(&b, "  %-2d %-9s %s\n", i+1, s.name, text)
		for _, sub := range s.sub {
			fmt.Fprintf(&b, "               %s\n", sub)
		}
		if s.name == last {
			break
		}
	}
	if last == stepForwarded {
		b.WriteString(rewritten(r, before, after))
	}
	fmt.Fprintf(&b, "verdict: %s\n", verdictInWords(r))
	fmt.Fprintf(&b, "kernel agrees: %s\n", kernelInWords(r.GetKernel()))
	if ns := r.GetNanoseconds(); ns > 0 {
		fmt.Fprintf(&b, "ran in %d ns (%s)\n", ns, ranBy(r))
	}
	return b.String()
}

// ranBy is what the packet was run through.
func ranBy(r *api.LookupReply) string {
	if r.GetEngine() == config.EngineSoft {
		return "the loop's own steps"
	}
	return "BPF_PROG_TEST_RUN"
}

type step struct {
	name, text string
	sub        []string
}

// steps returns all steps, as far as the packet could have come.
func steps(r *api.LookupReply, before, after *headers) []step {
	parse := before.ip()
	if r.GetIif() != "" {
		parse += fmt.Sprintf(", in by %s (%s)", r.GetIif(), engineName(r.GetEngine(), r.GetMode()))
	}
	lpm := step{stepLPM, fmt.Sprintf("%s (%s, generation %d)", orNone(r.GetPrefix()), count(len(r.GetSteps()), "node"), r.GetGeneration()), nil}
	for _, s := range r.GetSteps() {
		lpm.sub = append(lpm.sub, fmt.Sprintf("%-6s bits %d-%d at 0x%x: entry %d",
			s.GetNode(), s.GetDepth(), s.GetDepth()+s.GetStride(), s.GetOffset(), s.GetIndex()))
	}
	if len(r.GetCandidates()) > 1 || r.GetRoute().GetSource() != "kernel" {
		for _, c := range r.GetCandidates() {
			lpm.sub = append(lpm.sub, candidateInWords(c))
		}
	}
	group := fmt.Sprintf("%d: %s", r.GetGroup(), r.GetGroupKind())
	if r.GetMembers() > 0 {
		group += ", " + count(r.GetMembers(), "member")
	}
	hash := "not needed"
	if r.GetMembers() > 1 {
		hash = fmt.Sprintf("0x%08x", r.GetHash())
	}
	via := r.GetGateway()
	if via == "" {
		via = before.dst
	}
	neighbor := fmt.Sprintf("%s dev %s", via, r.GetDev())
	if r.GetLladdr() != "" {
		neighbor += " lladdr " + r.GetLladdr()
	}
	return []step{
		{stepParse, parse, nil},
		{stepChecks, "addresses, options, port", nil},
		lpm,
		{stepGroup, group, nil},
		{stepTTL, fmt.Sprint(before.ttl), nil},
		{stepHash, fmt.Sprintf("%s: adjacency %d", hash, r.GetAdjacency()), nil},
		{stepNeighbor, neighbor, nil},
		{stepMTU, fmt.Sprintf("%d, packet %d", r.GetMtu(), before.length), nil},
		{stepRewrite, fmt.Sprintf("ttl %d, %s -> %s%s", after.ttl, after.smac, after.dmac, after.tags()), nil},
		{stepRedirect, r.GetDev(), nil},
	}
}

// candidateInWords tells of a route to the matched prefix, and why it was chosen or
// was not.
func candidateInWords(c *api.Route) string {
	mark := " "
	if c.GetSelected() {
		mark = "*"
	}
	who := c.GetSource()
	if c.GetOrigin() != 0 {
		who += fmt.Sprintf(" %d", c.GetOrigin())
	}
	return fmt.Sprintf("%s %s: proto %s, preference %d: %s", mark, who, c.GetProtocol(), c.GetMetric(), c.GetWhy())
}

func orNone(s string) string {
	if s == "" {
		return "no prefix"
	}
	return s
}

// rewritten shows the headers before and after, decoded and as bytes.
func rewritten(r *api.LookupReply, before, after *headers) string {
	var b strings.Builder
	fmt.Fprintf(&b, "before: %s\n        %s\nafter:  %s\n        %s\n", before.link(), before.ip(), after.link(), after.ip())
	b.WriteString(hexDump(r.GetPacket()[:before.end], nil))
	b.WriteString(hexDump(r.GetResult()[:after.end], changed(r, before, after)))
	return b.String()
}

// changed tells which bytes of the result are not as they came in. Headers of
// the network layer are compared with each other, wherever they begin.
func changed(r *api.LookupReply, before, after *headers) func(int) bool {
	return func(i int) bool {
		was := i
		if i >= after.network {
			was = i - after.network + before.network
		} else if i >= before.network {
			return true
		}
		return was >= before.end || r.GetResult()[i] != r.GetPacket()[was]
	}
}

// hexDump prints bytes, changed ones in brackets.
func hexDump(frame []byte, changed func(int) bool) string {
	var b strings.Builder
	for i, c := range frame {
		if i%16 == 0 {
			fmt.Fprintf(&b, "\n  %04x ", i)
		}
		if changed != nil && changed(i) {
			fmt.Fprintf(&b, "[%02x]", c)
		} else {
			fmt.Fprintf(&b, " %02x ", c)
		}
	}
	return strings.TrimPrefix(strings.ReplaceAll(b.String()+"\n", " \n", "\n"), "\n")
}

func verdictInWords(r *api.LookupReply) string {
	switch r.GetVerdict() {
	case "forward":
		return fmt.Sprintf("forward (%s) by %s", r.GetReason(), r.GetDev())
	case "punt":
		if r.GetFate() != "" {
			return fmt.Sprintf("punt (%s): the loop finishes it: %s", r.GetReason(), r.GetFate())
		}
		return fmt.Sprintf("punt (%s): Linux finishes it", r.GetReason())
	}
	return fmt.Sprintf("%s (%s)", r.GetVerdict(), r.GetReason())
}

func kernelInWords(k *api.KernelAnswer) string {
	does := k.GetError()
	if does == "" {
		does = strings.TrimSpace(k.GetType() + hopText(k.GetGateway(), nil, k.GetDev()))
	}
	answer := "yes"
	if !k.GetAgrees() {
		answer = "NO"
	}
	if k.GetWhy() != "" {
		does = strings.TrimPrefix(does+"; "+k.GetWhy(), "; ")
	}
	if does == "" {
		return answer
	}
	return answer + " (" + does + ")"
}
