package main

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"weft/control/api"
)

// FuzzExplanation tells of what a daemon answered, whatever that is: packets cut short, results that do not fit.
func FuzzExplanation(f *testing.F) {
	for _, r := range []*api.LookupReply{
		{Reason: "forwarded", Verdict: "forward", Packet: fromHex(frameIn), Result: fromHex(frameOut), Members: 2, Dev: "eth0"},
		{Reason: "forwarded", Packet: fromHex(frameIn), Result: fromHex(frameOut)[:13]},
		{Reason: "forwarded", Packet: fromHex(frameIn)[:20], Result: fromHex(frameOut)},
		{Reason: "ttl_value_is_too_small", Verdict: "punt", Gateway: "fe80::1", Kernel: &api.KernelAnswer{Error: "no"}},
		{Reason: "of_a_newer_daemon", Group: 7, Steps: []*api.Step{{Node: "root", Stride: 24}}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("10.1.2.3", b)
	}
	f.Fuzz(func(t *testing.T, dst string, b []byte) {
		var r api.LookupReply
		if proto.Unmarshal(b, &r) != nil {
			return
		}
		q := &query{LookupRequest: api.LookupRequest{Dst: dst}, explain: true}
		if text := explanation(q, &r); !strings.Contains(text, "verdict: ") {
			t.Errorf("%s", text)
		}
		for _, frame := range [][]byte{r.GetPacket(), r.GetResult()} {
			h := decode(frame)
			if h.end > len(frame) || h.network > h.end || h.ip() == "" || h.link() == "" {
				t.Errorf("%d bytes: network header from %d to %d: %s", len(frame), h.network, h.end, h.ip())
			}
		}
	})
}

// FuzzWords reads the words of 'weft routes' and 'weft routes get'.
func FuzzWords(f *testing.F) {
	for _, line := range []string{
		"203.0.113.9 from 192.0.2.2 iif eth0 proto tcp sport 40000 dport 443 ttl 1 len 9000 explain", "2001:db8::9 proto 0x11", "::ffff:10.0.0.1",
		"fe80::1%eth0 f ::1", "10.0.0.0/8 dev eth0 proto bgp type blackhole vrf 4294967295", "default", "10.0.0.1/8", "ttl", "iif", "1.1.1.1 2.2.2.2", "proto -1", "fro 1",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ") // empty words, too
		var e env
		var q query
		wantUsage(t, args, e.getWords(&q).parse(args), func() bool {
			dst, err := netip.ParseAddr(q.Dst)
			src, srcErr := netip.ParseAddr(q.Src)
			return (q.Dst == "" || err == nil && dst.String() == q.Dst) && (q.Src == "" || srcErr == nil && src.String() == q.Src) &&
				q.Protocol <= 255 && q.Sport <= 65535 && q.Dport <= 65535 && q.Ttl <= 255 && q.Length <= 65535
		})
		var r api.RoutesRequest
		wantUsage(t, args, e.routeWords(&r).parse(args), func() bool {
			p, err := netip.ParsePrefix(r.Prefix)
			return r.Prefix == "" || err == nil && p == p.Masked()
		})
		offered := e.getWords(&q)
		for i := range offered.all {
			offered.all[i].complete = nil // it asks a daemon
		}
		_ = offered.completions(args)
	})
}

// wantUsage holds that words are taken, and make sense, or are wrong usage.
func wantUsage(t *testing.T, args []string, err error, makesSense func() bool) {
	t.Helper()
	switch {
	case err == nil && !makesSense():
		t.Errorf("%q: is taken", args)
	case err != nil && asFailure(err).code != codeUsage:
		t.Errorf("%q: %v", args, err)
	}
}

// FuzzExpand holds that a command line in full stays as it is, that what follows '--' is kept, and that flags of each can be
// read.
func FuzzExpand(f *testing.F) {
	for _, line := range []string{
		"r g 192.0.2.1 exp", "show routes", "ro s 10.0.0.0/8", "-jn blue po", "-n", "-nblue st", "--netns=x -- routes get", "drops -fi 1 --reason arp",
		"help rou", "s", "show", "show show", "lab up", "__complete r g", "-", "--", "r -- -x", "no-such", "-q", "__completeNoDesc",
	} {
		f.Add(line)
	}
	var out bytes.Buffer
	e := testEnv(f, &out, &out)
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Fields(line)
		root := newRoot(e)
		full, err := expand(root, args)
		if err != nil {
			wantUsage(t, args, err, nil)
			return
		}
		if again, err := expand(root, full); err != nil || !slices.Equal(again, full) {
			t.Errorf("%q becomes %q, and then %q, %v", args, full, again, err)
		}
		if i := slices.Index(args, "--"); i >= 0 && len(full) >= len(args)-i && !slices.Equal(full[len(full)-(len(args)-i):], args[i:]) {
			t.Errorf("%q becomes %q", args, full)
		}
		cmd, rest, err := root.Find(full)
		if err == nil {
			_ = parseFlags(cmd, rest)
		}
	})
}

func parseFlags(cmd *cobra.Command, args []string) error {
	if err := cmd.ParseFlags(args); err != nil {
		return flagError(cmd, err)
	}
	return nil
}
