package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/api"
	"weft/control/config"
)

const getExample = `  weft routes get 203.0.113.9
  weft routes get 203.0.113.9 from 192.0.2.2 iif eth0 explain
  weft routes get 203.0.113.9 proto tcp sport 40000 dport 443   which of several next hops
  weft routes get 203.0.113.9 ttl 1                             and what becomes of that
  weft r g 2001:db8::9 len 9000 explain`

const getLong = `Makes a packet, runs the live program on it, and tells what became of it. The
packet is neither sent nor counted.

With 'explain' it says what the program did, step by step, what it made of the
headers (changed bytes stand in [brackets]) and whether Linux would do the same.

Keywords, which may be shortened: from A (default: an address of the ingress
port's subnet), iif P (default: the first port), proto udp|tcp|icmp|N, sport N,
dport N, ttl N, len N (bytes of the IP packet), explain.

Exit code 2 says that there is no route.`

func newGetCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "get ADDRESS [from A] [iif P] [proto P] [sport N] [dport N] [ttl N] [len N] [explain]",
		Short: "Tell where a packet goes, and why", Long: getLong, Example: getExample,
		Annotations: map[string]string{client: "yes"},
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var q query
			if err := e.getWords(&q).parse(args); err != nil {
				return err
			}
			if q.Dst == "" {
				return usage("routes get: the address is missing", "try 'weft routes get 203.0.113.9'")
			}
			return e.get(cmd.Context(), &q)
		},
		ValidArgsFunction: completeWords(func() *words { return e.getWords(&query{}) }, nil),
	}
}

// query is what the command line says of the packet.
type query struct {
	api.LookupRequest
	explain bool
}

var protocols = map[string]uint32{"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58, "icmpv6": 58, "ipv6-icmp": 58}

func (e *env) getWords(q *query) *words {
	address := func(to *string) func(string) error {
		return func(s string) error {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return usage(s+": not an address", "want one like 203.0.113.9 or 2001:db8::9")
			}
			*to = a.String()
			return nil
		}
	}
	numeric := func(name string, to *uint32, max uint64) func(string) error {
		return func(s string) error {
			n, err := number(name, s, max)
			*to = uint32(n)
			return err
		}
	}
	return &words{
		want:       "an address",
		positional: address(&q.Dst),
		all: []word{
			{name: "from", help: "source address", set: address(&q.Src)},
			{name: "iif", help: "port that it comes in by", complete: e.completePorts,
				set: func(s string) error { q.Iif = s; return nil }},
			{name: "proto", help: "udp, tcp, icmp or a number", complete: choices("udp", "tcp", "icmp"), set: func(s string) error {
				if n, known := protocols[s]; known {
					q.Protocol = n
					return nil
				}
				if s == "" || s[0] < '0' || s[0] > '9' {
					return usage("proto "+s+": no such protocol", "want udp, tcp, icmp or a number from 1 to 255")
				}
				return numeric("proto", &q.Protocol, 255)(s)
			}},
			{name: "sport", help: "source port", set: numeric("sport", &q.Sport, 65535)},
			{name: "dport", help: "destination port", set: numeric("dport", &q.Dport, 65535)},
			{name: "ttl", help: "TTL or hop limit", set: numeric("ttl", &q.Ttl, 255)},
			{name: "len", help: "bytes of the IP packet", set: numeric("len", &q.Length, 65535)},
			{name: "explain", help: "tell every step", alone: true, set: func(string) error { q.explain = true; return nil }},
		},
	}
}

func (e *env) get(ctx context.Context, q *query) error {
	var r *api.LookupReply
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) (err error) {
		r, err = c.Lookup(ctx, &q.LookupRequest)
		return err
	})
	if err != nil {
		return err
	}
	missed := r.GetReason() == "ipv4_lpm_miss" || r.GetReason() == "ipv6_lpm_miss"
	if missed && !q.explain {
		return fail(codeNotFound, q.Dst+": Network is unreachable", fmt.Sprintf("no route leads to it; 'weft routes get %s explain' tells more", q.Dst))
	}
	answer := newAnswer(q, r)
	switch {
	case e.json:
		err = e.printJSON([]*answerJSON{answer})
	case q.explain:
		_, err = fmt.Fprint(e.stdout, explanation(q, r))
	default:
		_, err = fmt.Fprintln(e.stdout, answer.text())
	}
	if err == nil && missed {
		err = outcome(codeNotFound)
	}
	return err
}

// answerJSON is an answer as of 'ip -j route get', and more.
type answerJSON struct {
	Type     string   `json:"type,omitempty"`
	Dst      string   `json:"dst"`
	From     string   `json:"from,omitempty"`
	Gateway  string   `json:"gateway,omitempty"`
	Via      *via     `json:"via,omitempty"`
	Dev      string   `json:"dev,omitempty"`
	IIF      string   `json:"iif,omitempty"`
	Protocol string   `json:"protocol,omitempty"`
	Metric   uint32   `json:"metric,omitempty"`
	Flags    []string `json:"flags"`

	Verdict     string       `json:"verdict"`
	Reason      string       `json:"reason"`
	Engine      string       `json:"engine,omitempty"`
	Mode        string       `json:"mode"`
	Fate        string       `json:"fate,omitempty"` // of a packet that the soft engine finishes where xdp leaves it to Linux
	Prefix      string       `json:"prefix"`
	Lladdr      string       `json:"lladdr,omitempty"`
	MTU         uint32       `json:"mtu,omitempty"`
	Group       uint32       `json:"group"`
	GroupKind   string       `json:"group_kind,omitempty"`
	Members     uint32       `json:"members"`
	Hash        uint32       `json:"hash"`
	Adjacency   uint32       `json:"adjacency"`
	Generation  uint64       `json:"generation"`
	Nanoseconds int64        `json:"nanoseconds"`
	Kernel      kernelAnswer `json:"kernel"`
	Steps       []lpmStep    `json:"steps,omitempty"`
	Candidates  []*route     `json:"candidates,omitempty"`
	Packet      string       `json:"packet,omitempty"` // hexadecimal
	Result      string       `json:"result,omitempty"`
}

type kernelAnswer struct {
	Agrees  bool   `json:"agrees"`
	Why     string `json:"why,omitempty"`
	Type    string `json:"type,omitempty"`
	Gateway string `json:"gateway,omitempty"`
	Dev     string `json:"dev,omitempty"`
	Error   string `json:"error,omitempty"`
}

type lpmStep struct {
	Node   string `json:"node"`
	Depth  uint32 `json:"depth"`
	Stride uint32 `json:"stride"`
	Offset uint32 `json:"offset"`
	Index  uint32 `json:"index"`
}

func newAnswer(q *query, r *api.LookupReply) *answerJSON {
	k := r.GetKernel()
	a := &answerJSON{
		Type: r.GetRoute().GetType(), Dst: q.Dst, From: r.GetSrc(), Dev: r.GetDev(), IIF: r.GetIif(),
		Protocol: r.GetRoute().GetProtocol(), Metric: r.GetRoute().GetMetric(), Flags: []string{},
		Verdict: r.GetVerdict(), Reason: r.GetReason(), Engine: r.GetEngine(), Mode: r.GetMode(), Fate: r.GetFate(), Prefix: r.GetPrefix(), Lladdr: r.GetLladdr(), MTU: r.GetMtu(),
		Group: r.GetGroup(), GroupKind: r.GetGroupKind(), Members: r.GetMembers(), Hash: r.GetHash(), Adjacency: r.GetAdjacency(),
		Generation: r.GetGeneration(), Nanoseconds: r.GetNanoseconds(),
		Kernel: kernelAnswer{k.GetAgrees(), k.GetWhy(), k.GetType(), k.GetGateway(), k.GetDev(), k.GetError()},
	}
	if a.Type == "" && a.GroupKind == "forward" {
		a.Type = "unicast" // an attached host
	}
	if r.GetGateway() != q.Dst { // else it is attached
		a.Gateway, a.Via = gateway(r.GetGateway(), q.Dst)
	}
	if q.explain {
		for _, s := range r.GetSteps() {
			a.Steps = append(a.Steps, lpmStep{s.GetNode(), s.GetDepth(), s.GetStride(), s.GetOffset(), s.GetIndex()})
		}
		for _, c := range r.GetCandidates() {
			shown := newRoute(c)
			shown.Source, shown.Why = c.GetSource(), c.GetWhy()
			a.Candidates = append(a.Candidates, shown)
		}
		a.Packet, a.Result = hex.EncodeToString(r.GetPacket()), hex.EncodeToString(r.GetResult())
	}
	return a
}

// text is one line, as of 'ip route get'. What weft did stands in brackets.
func (a *answerJSON) text() string {
	var b strings.Builder
	if a.Type != "" && a.Type != "unicast" {
		b.WriteString(a.Type + " ")
	}
	b.WriteString(a.Dst)
	if a.From != "" {
		b.WriteString(" from " + a.From)
	}
	b.WriteString(hopText(a.Gateway, a.Via, a.Dev))
	for _, part := range []struct{ name, value string }{{"iif", a.IIF}, {"proto", a.Protocol}} {
		if part.value != "" {
			b.WriteString(" " + part.name + " " + part.value)
		}
	}
	if a.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", a.Metric)
	}
	b.WriteString("  [" + engineName(a.Engine, a.Mode))
	if a.Verdict != "forward" {
		b.WriteString(": " + a.Verdict + " " + a.Reason)
	}
	if a.Fate != "" {
		b.WriteString(", " + a.Fate)
	}
	return b.String() + "]"
}

// engineName says what forwards what comes in by a port: "xdp native", "soft native", "tc".
func engineName(engine, mode string) string {
	if mode == "tc" {
		return mode
	}
	if engine == "" {
		engine = config.EngineXDP
	}
	return strings.TrimSuffix(engine+" "+mode, " ")
}
