package main

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/api"
	"weft/control/config"
)

const staticLong = `Static routes belong to the configuration that is in force: the change is kept, and
'weft config rollback' takes it back. The words are those of 'ip route':

  PREFIX via ADDR [dev D]                       one next hop
  PREFIX nexthop via ADDR [dev D] [weight N] nexthop via ADDR ...
                                                several
  PREFIX dev D                                  attached
  PREFIX group NAME                             one of the file's nexthop_groups
  blackhole|unreachable|prohibit PREFIX         no next hop

and then: preference N (or metric N; the lower is taken), vrf NAME, table N.`

// newStaticCommands are 'weft routes add', 'del' and 'replace'.
func newStaticCommands(e *env) []*cobra.Command {
	make := func(op, short, example string) *cobra.Command {
		return &cobra.Command{
			Use: op + " [TYPE] PREFIX [via ADDR] [dev D] ...", Short: short, Long: staticLong, Example: example,
			Annotations: map[string]string{client: "yes", inFull: "yes"},
			Args:        cobra.ArbitraryArgs,
			RunE: func(cmd *cobra.Command, args []string) error {
				q, err := e.staticRoute(op, args)
				if err != nil {
					return err
				}
				return e.change(cmd.Context(), "", func(ctx context.Context, c api.RouterClient) (*api.ConfigPlan, error) {
					return c.ChangeRoute(ctx, q)
				})
			},
			ValidArgsFunction: e.completeStatic,
		}
	}
	return []*cobra.Command{
		make("add", "Add a static route", "  sudo weft routes add 10.0.0.0/8 via 192.0.2.1\n  sudo weft routes add blackhole 10.9.0.0/16"),
		make("replace", "Add a static route, or change it", "  sudo weft routes replace 10.0.0.0/8 nexthop via 192.0.2.1 weight 2 nexthop via 192.0.2.2"),
		make("del", "Remove a static route", "  sudo weft routes del 10.0.0.0/8"),
	}
}

var staticTypes = []string{string(config.Unicast), string(config.Blackhole), string(config.Unreachable), string(config.Prohibit)}

// staticWords are the keywords, with what follows them.
var staticWords = []struct{ name, help string }{
	{"via", "address of the gateway"}, {"dev", "interface"}, {"weight", "share of the flows"}, {"nexthop", "one of several next hops"},
	{"group", "one of nexthop_groups"}, {"preference", "the lower is taken"}, {"metric", "the same as preference"}, {"vrf", "name of the VRF"},
	{"table", "number of the kernel's table"},
}

func staticNames() (names []string) {
	for _, w := range staticWords {
		names = append(names, w.name)
	}
	return names
}

func (e *env) completeStatic(_ *cobra.Command, args []string, _ string) (out []cobra.Completion, _ cobra.ShellCompDirective) {
	last := ""
	if len(args) > 0 {
		last = args[len(args)-1]
	}
	switch {
	case last == "dev":
		out = e.completePorts()
	case last != "nexthop" && slices.Contains(staticNames(), last):
	case len(args) == 0:
		out = append(e.completePrefixes(), staticTypes[1:]...)
	default:
		for _, w := range staticWords {
			out = append(out, cobra.CompletionWithDesc(w.name, w.help))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// staticParser reads the words of 'ip route add'.
type staticParser struct {
	e    *env
	q    *api.ChangeRouteRequest
	args []string
	hop  *api.NextHop // that via, dev and weight are of
	many bool         // nexthop was said
	seen map[string]bool
	dst  string
}

// staticRoute reads a route in iproute2's words.
func (e *env) staticRoute(op string, args []string) (*api.ChangeRouteRequest, error) {
	p := &staticParser{e: e, q: &api.ChangeRouteRequest{Op: op}, args: args, seen: map[string]bool{}}
	if len(args) > 0 && slices.Contains(staticTypes, args[0]) {
		p.q.Type, p.args = args[0], args[1:]
	}
	for len(p.args) > 0 {
		word := p.args[0]
		p.args = p.args[1:]
		if err := p.word(word); err != nil {
			return nil, err
		}
	}
	return p.q, p.finish()
}

// next takes the value of a keyword.
func (p *staticParser) next(word string) (string, error) {
	if len(p.args) == 0 {
		return "", usagef("%s: its value is missing", word)
	}
	value := p.args[0]
	p.args = p.args[1:]
	return value, nil
}

func (p *staticParser) word(word string) error {
	name := word
	if word != "" && !strings.ContainsAny(word, "0123456789.:/") {
		if i := slices.IndexFunc(staticNames(), func(n string) bool { return strings.HasPrefix(n, word) }); i >= 0 {
			name = staticNames()[i]
		}
	}
	perHop := name == "via" || name == "dev" || name == "weight"
	if p.seen[name] {
		return usagef("%s: it is given twice", name)
	}
	if name != "nexthop" && slices.Contains(staticNames(), name) {
		p.seen[name] = true
	}
	switch {
	case name == "nexthop":
		if p.hop != nil && !p.many {
			return usage("nexthop: there is a next hop before it", "put nexthop before each of them")
		}
		p.many = true
		p.newHop()
		return nil
	case perHop:
		if p.hop == nil {
			p.newHop()
			p.seen[name] = true
		}
		return p.hopWord(name)
	case !slices.Contains(staticNames(), name):
		return p.prefix(word)
	}
	return p.routeWord(name)
}

func (p *staticParser) newHop() {
	p.hop = &api.NextHop{Weight: 1}
	p.q.Nexthops = append(p.q.Nexthops, p.hop)
	for _, name := range []string{"via", "dev", "weight"} {
		delete(p.seen, name)
	}
}

func (p *staticParser) prefix(word string) (err error) {
	switch {
	case p.dst != "":
		return usage(word+": unexpected", meant(word, staticNames(), "see 'weft routes add --help'"))
	case word == "default":
		p.dst = word
		return nil
	}
	p.q.Prefix, err = parsePrefix(word)
	p.dst = word
	if near := meant(word, append(staticNames(), staticTypes...), ""); err != nil && near != "" {
		return usage(word+": neither a prefix nor a keyword", near)
	}
	return err
}

func (p *staticParser) hopWord(name string) error {
	value, err := p.next(name)
	if err != nil {
		return err
	}
	switch name {
	case "via":
		if value == "inet" || value == "inet6" { // as ip says of a gateway of the other family
			if value, err = p.next("via " + value); err != nil {
				return err
			}
		}
		a, err := netip.ParseAddr(value)
		if err != nil {
			return usage("via "+value+": not an address", "want one like 192.0.2.1 or 2001:db8::1")
		}
		p.hop.Gateway = a.String()
	case "dev":
		p.hop.Dev = value
	case "weight":
		n, err := number("weight", value, config.MaxWeight)
		if err != nil || n == 0 {
			return usage("weight "+value+": out of range", "want a number from 1 to "+strconv.Itoa(config.MaxWeight))
		}
		p.hop.Weight = uint32(n)
	}
	return nil
}

func (p *staticParser) routeWord(name string) error {
	value, err := p.next(name)
	if err != nil {
		return err
	}
	switch name {
	case "group":
		p.q.Group = value
	case "vrf":
		p.q.Vrf = value
	case "preference", "metric":
		n, err := number(name, value, 1<<32-1)
		if err != nil {
			return err
		}
		p.q.Preference = uint32(n)
	case "table":
		if value == "main" {
			value = "254"
		}
		n, err := number(name, value, 1<<32-1)
		if err != nil {
			return err
		}
		p.q.Table = uint32(n)
	}
	return nil
}

// finish checks that a route is named, and which family 'default' is of.
func (p *staticParser) finish() error {
	switch {
	case p.dst == "":
		return usage("routes "+p.q.GetOp()+": the prefix is missing", "want one like 10.0.0.0/8 or 2001:db8::/32")
	case p.dst != "default":
		return nil
	}
	p.q.Prefix = "0.0.0.0/0"
	v6 := p.e.familyNumber() == 6
	for _, h := range p.q.GetNexthops() {
		v6 = v6 || p.e.familyNumber() == 0 && strings.Contains(h.GetGateway(), ":")
	}
	if v6 {
		p.q.Prefix = "::/0"
	}
	return nil
}
