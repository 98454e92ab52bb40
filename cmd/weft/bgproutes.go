package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weft/control/api"
	"weft/control/bgp"
)

const bgpRoutesLong = `Lists the paths that BGP chooses from (its Loc-RIB), prefix by prefix, the best
first; with 'received N' those that a neighbor has sent, before the import policies;
with 'advertised N' those that it is sent, behind the export policies. PREFIX alone is
told in detail, as are those of the longest prefix that holds an ADDRESS.

In front of a path stand * (valid), > (the best), = (used beside it), S (stale: of a
neighbor that restarts), F (received and not taken: refused by the import policies, or
for our own AS in its path), i (of an internal neighbor). Behind it stands the AS path
with its origin: i (IGP), e (EGP), ? (incomplete), and after a '#' the communities.

Keywords, which may be shortened: longer (those within PREFIX, too), best (only what is
used), received N, advertised N, from N (of the Loc-RIB, only paths from N).

With --json the keys are those of FRR's 'show bgp all json', by family; besides them:
pathId, filtered, communities of all kinds.`

func newBGPRoutesCommand(e *env) *cobra.Command {
	var family string
	cmd := &cobra.Command{
		Use:   "routes [PREFIX [longer]|ADDRESS] [received N|advertised N|from N] [best]",
		Short: "List BGP's paths: all, of a prefix, of a neighbor", Long: bgpRoutesLong,
		Example: `  weft bgp routes
  weft bgp routes 10.1.0.0/16                 all there is to say of it
  weft bgp routes 10.1.2.3                    of the prefix that holds it
  weft bgp routes 10.0.0.0/8 longer best
  weft bgp routes received 192.0.2.2 --family ipv6-unicast
  weft -6 bgp routes advertised eth0
  weft bgp routes --json | jq '.ipv4Unicast.routes | keys'`,
		Annotations: map[string]string{client: noun},
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			q := &api.BGPPathsRequest{}
			if err := e.pathWords(q).parse(args); err != nil {
				return err
			}
			families, err := e.pathFamilies(q, family)
			if err != nil {
				return err
			}
			return e.listPaths(cmd.Context(), q, families)
		},
		ValidArgsFunction: completeWords(func() *words { return e.pathWords(&api.BGPPathsRequest{}) }, nil),
	}
	cmd.Flags().StringVar(&family, "family", "", "only this `FAMILY`: ipv4-unicast or ipv6-unicast (as -4, -6)")
	complete(cmd, "family", choices(bgpFamilies[0].name, bgpFamilies[1].name))
	return cmd
}

// pathWords are the keywords that choose paths.
func (e *env) pathWords(q *api.BGPPathsRequest) *words {
	of := func(table string) func(string) error {
		return func(v string) error {
			if q.GetNeighbor() != "" {
				return usage(v+": received, advertised and from exclude each other", "name one neighbor")
			}
			q.Table, q.Neighbor = table, v
			return nil
		}
	}
	return &words{
		want: "a prefix",
		positional: func(s string) (err error) {
			if a, failed := netip.ParseAddr(s); failed == nil && a.Zone() == "" {
				q.Prefix = a.String()
				return nil
			}
			q.Prefix, err = parsePrefix(s)
			return err
		},
		all: []word{
			{name: "longer", help: "those within the prefix, too", alone: true, set: func(string) error { q.Longer = true; return nil }},
			{name: "received", help: "what a neighbor has sent", complete: e.completeBGPNeighbors, set: of(bgp.AdjIn.String())},
			{name: "advertised", help: "what a neighbor is sent", complete: e.completeBGPNeighbors, set: of(bgp.AdjOut.String())},
			{name: "from", help: "only paths from a neighbor", complete: e.completeBGPNeighbors, set: of(bgp.LocRIB.String())},
			{name: "best", help: "only what is used", alone: true, set: func(string) error { q.Best = true; return nil }},
		},
	}
}

// pathFamilies are those that are asked for, in order.
func (e *env) pathFamilies(q *api.BGPPathsRequest, name string) (families []string, err error) {
	var names []string
	for _, f := range bgpFamilies {
		names = append(names, f.name)
		ofPrefix := q.GetPrefix() == "" || strings.Contains(q.GetPrefix(), ":") == f.v6
		if (name == "" || name == f.name) && e.family(f.v6) && ofPrefix {
			families = append(families, f.name)
		}
	}
	switch {
	case name != "" && familyKey(name) == name:
		return nil, usage("--family "+name+": no such family", meant(name, names, "want "+strings.Join(names, " or ")))
	case families == nil:
		return nil, usage("no family is left", "--family, -4, -6 and the prefix are to be of one")
	case q.GetLonger() && q.GetPrefix() == "":
		return nil, usage("longer: than what?", "put a prefix before it, like 10.0.0.0/8")
	case q.GetLonger() && !strings.Contains(q.GetPrefix(), "/"):
		q.Prefix, err = parsePrefix(q.GetPrefix())
	}
	return families, err
}

// pathPrinter prints paths as they come.
type pathPrinter interface {
	begin(family string) error
	path(*api.BGPPath) error
	flush() error // lets the reader have what there is
	end() error
}

func (e *env) listPaths(ctx context.Context, q *api.BGPPathsRequest, families []string) error {
	out, n := e.pathPrinter(q), 0
	err := e.askBGP(ctx, func(ctx context.Context, c api.RouterClient) error {
		var s *api.Status
		var err error
		if j, ok := out.(*pathJSON); ok {
			if s, err = c.GetStatus(ctx, &api.StatusRequest{}); err != nil {
				return err
			}
			j.status = s.GetBgp()
		}
		for _, q.Family = range families {
			if err := e.streamPaths(ctx, c, q, out, &n); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && n == 0 && q.GetPrefix() != "" && !q.GetLonger() {
		return fail(codeNotFound, q.GetPrefix()+": BGP has no path to it", "'weft routes get' tells what packets find")
	}
	if err != nil {
		return err
	}
	return out.end()
}

func (e *env) streamPaths(ctx context.Context, c api.RouterClient, q *api.BGPPathsRequest, out pathPrinter, n *int) error {
	stream, err := c.ListBGPPaths(ctx, q)
	if err != nil {
		return err
	}
	begun := false
	for {
		m, err := stream.Recv()
		if end := ended(err); end != nil {
			return end
		}
		if !begun {
			begun = true
			if err := out.begin(q.GetFamily()); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
		for _, p := range m.GetPaths() {
			*n++
			if err := out.path(p); err != nil {
				return err
			}
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
}

func (e *env) pathPrinter(q *api.BGPPathsRequest) pathPrinter {
	switch {
	case e.json:
		return &pathJSON{e: e, w: e.out()}
	case q.GetPrefix() != "" && !q.GetLonger():
		return &pathDetails{e: e, w: e.out()}
	}
	return &pathLines{w: e.out()}
}

// marks stand in front of a path. first: it is the first of its prefix.
func marks(p *api.BGPPath, first bool) string {
	var b strings.Builder
	for _, m := range []struct {
		on   bool
		mark byte
	}{{p.GetValid() && !p.GetFiltered(), '*'}, {p.GetBest() && first, '>'}, {p.GetBest() && !first, '='}, {p.GetStale(), 'S'}, {p.GetFiltered(), 'F'}, {p.GetInternal(), 'i'}} {
		if m.on {
			b.WriteByte(m.mark)
		}
	}
	return b.String()
}

// nextHopText is the next hop with the link that it is on, as FRR writes those of our own.
func nextHopText(p *api.BGPPath) string {
	switch {
	case p.GetNextHop() == "" && strings.Contains(p.GetPrefix(), ":"):
		return "::"
	case p.GetNextHop() == "":
		return "0.0.0.0"
	case p.GetInterface() != "" && !strings.Contains(p.GetNextHop(), "%"):
		return p.GetNextHop() + "%" + p.GetInterface()
	}
	return p.GetNextHop()
}

// optional is a number that a path may lack.
func optional(n *uint32) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

// originMark is FRR's: i, e or ?.
func originMark(origin string) string {
	return orText(map[string]string{"igp": "i", "egp": "e"}[origin], "?")
}

func (p *pathDetails) age(since int64) string {
	if since == 0 {
		return ""
	}
	return ", for " + frrTime(p.e.now().Sub(time.Unix(0, since)))
}
