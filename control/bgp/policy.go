package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/server"
	"google.golang.org/protobuf/proto"

	"weft/control/config"
)

// GoBGP knows one list of policies for all neighbors each way. So what the
// configuration says of single neighbors, and of what is advertised, is compiled into one
// policy each way, whose statements ask for the neighbor, too.
const (
	importName = "import"
	exportName = "export"
	globalName = "global" // GoBGP's name of its one table
)

// program is all policies, as GoBGP takes them.
type program struct {
	request *api.SetPoliciesRequest
	in, out *api.Policy
	lost    bool // the first statement of in refuses next hops that lead nowhere
}

// isEmpty reports whether all routes pass.
func (p *program) isEmpty() bool { return len(p.in.Statements)+len(p.out.Statements) == 0 }

// configured returns the import statements that do not depend on next hops.
func (p *program) configured() []*api.Statement {
	if p.lost {
		return p.in.Statements[1:]
	}
	return p.in.Statements
}

// compiler makes a program of a configuration.
type compiler struct {
	config   *Config
	policies map[string]*config.Policy
	// addresses are those of neighbors, by name. Without one there are no routes
	// of the neighbor, so its statements are left out.
	addresses map[string]netip.Addr
	via       map[string]netip.Addr // our IPv6 addresses towards neighbors with an IPv4 one, by name
	lost      []netip.Addr          // next hops that lead nowhere
	sets      []*api.DefinedSet
	neighbors map[string][]netip.Prefix // neighbor sets
	n         int
}

// compile makes a program. found has the addresses of unnumbered neighbors, via our IPv6
// addresses towards numbered ones, lost the next hops that lead nowhere.
func compile(c *Config, found, via map[string]netip.Addr, lost []netip.Addr) (*program, error) {
	k := &compiler{config: c, via: via, lost: lost, policies: map[string]*config.Policy{}, addresses: map[string]netip.Addr{}, neighbors: map[string][]netip.Prefix{}}
	for i := range c.PolicyDefinition {
		k.policies[c.PolicyDefinition[i].Name] = &c.PolicyDefinition[i]
	}
	for i := range c.Neighbors {
		n := &c.Neighbors[i]
		if a := n.Address; n.Interface == "" {
			k.addresses[n.Name()] = a
		} else if a, ok := found[n.Interface]; ok && a.IsValid() {
			k.addresses[n.Name()] = a.WithZone("")
		}
	}
	if err := k.defineSets(); err != nil {
		return nil, err
	}
	p := &program{in: &api.Policy{Name: importName}, out: &api.Policy{Name: exportName}}
	err := errors.Join(k.imports(p), k.exports(p))
	p.request = &api.SetPoliciesRequest{DefinedSets: k.sets, Policies: []*api.Policy{p.in, p.out}}
	return p, err
}

// imports are the import policies: first against next hops that lead nowhere and against loops, then of what weft itself advertises, then of
// neighbors, then of all.
func (k *compiler) imports(p *program) error {
	var errs []error
	k.refuseLost(p)
	k.refuseLoops(p)
	marks := k.markSets()
	for i, policy := range marks {
		errs = append(errs, k.add(p.in, scope{mark: i + 1}, policy))
	}
	if len(marks) > 0 || len(k.config.ImportPolicy) > 0 || k.config.DefaultImport == config.Reject {
		k.append(p.in, &api.Statement{Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL}, Actions: disposition(config.Accept)})
	}
	for i := range k.config.Neighbors {
		n := &k.config.Neighbors[i]
		s := scope{neighbor: n.Name()}
		errs = append(errs, k.add(p.in, s, n.ImportPolicy))
		k.decide(p.in, s, n.DefaultImport)
	}
	errs = append(errs, k.add(p.in, scope{}, k.config.ImportPolicy))
	k.decide(p.in, scope{}, k.config.DefaultImport)
	return errors.Join(errs...)
}

// exports are the export policies. The marks go first: nobody is to see them.
func (k *compiler) exports(p *program) error {
	var errs []error
	if marks := k.markSets(); len(marks) > 0 {
		var all []string
		for i := range marks {
			all = append(all, markText(i+1))
		}
		k.append(p.out, &api.Statement{
			Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
			Actions:    &api.Actions{LargeCommunity: &api.CommunityAction{Type: api.CommunityAction_TYPE_REMOVE, Communities: all}},
		})
	}
	for i := range k.config.Neighbors {
		n := &k.config.Neighbors[i]
		s := scope{neighbor: n.Name()}
		k.hopsOfIPv6(p.out, n, s)
		if n.NextHopSelf {
			k.append(p.out, k.scoped(s, &api.Statement{
				Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_EXTERNAL, AfiSafiIn: selfFamilies(n)},
				Actions:    &api.Actions{Nexthop: &api.NexthopAction{Self: true}},
			}))
		}
		errs = append(errs, k.add(p.out, s, n.ExportPolicy))
		k.decide(p.out, s, n.DefaultExport)
	}
	errs = append(errs, k.add(p.out, scope{}, k.config.ExportPolicy))
	k.decide(p.out, scope{}, k.config.DefaultExport)
	return errors.Join(errs...)
}

// hopsOfIPv6 gives IPv6 routes a next hop in a session over IPv4, where GoBGP would tell our
// IPv4 address. Without one there is nothing to tell.
func (k *compiler) hopsOfIPv6(to *api.Policy, n *config.BGPNeighbor, s scope) {
	if !n.Address.Is4() || !slices.Contains(n.Families, config.IPv6Unicast) {
		return
	}
	actions := disposition(config.Reject)
	if via := k.via[n.Name()]; via.IsValid() {
		actions = &api.Actions{Nexthop: &api.NexthopAction{Address: via.String()}}
	}
	types := []api.Conditions_RouteType{api.Conditions_ROUTE_TYPE_UNSPECIFIED}
	if n.IsInternal(k.config) { // others keep their next hop, unless it is to be us
		types = []api.Conditions_RouteType{api.Conditions_ROUTE_TYPE_LOCAL}
		if n.NextHopSelf {
			types = append(types, api.Conditions_ROUTE_TYPE_EXTERNAL)
		}
	}
	for _, t := range types {
		k.append(to, k.scoped(s, &api.Statement{Conditions: &api.Conditions{RouteType: t, AfiSafiIn: []*api.Family{ipv6Unicast}}, Actions: actions}))
	}
}

var (
	ipv4Unicast = &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}
	ipv6Unicast = &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
)

// selfFamilies are those in whose routes next_hop_self works as GoBGP does it; nil: all.
func selfFamilies(n *config.BGPNeighbor) []*api.Family {
	if n.Address.Is4() {
		return []*api.Family{ipv4Unicast}
	}
	return nil
}

// scope is which routes a policy is for; zero: all.
type scope struct {
	neighbor string
	mark     int // of what weft advertises, see marks
}

// add appends the statements of policies to a policy, for some routes only.
func (k *compiler) add(to *api.Policy, s scope, names []string) error {
	for _, name := range names {
		policy := k.policies[name]
		if policy == nil {
			return fmt.Errorf("policy %s is not there: add it to policy-definitions", name)
		}
		for i := range policy.Statements {
			st, err := k.statement(&policy.Statements[i])
			if err != nil {
				return fmt.Errorf("policy %s: %w", name, err)
			}
			if s.mark > 0 && st.Conditions.LargeCommunitySet != nil {
				return fmt.Errorf("policy %s asks for large communities, which routes that are redistributed do not have", name)
			}
			k.append(to, k.scoped(s, st))
		}
	}
	return nil
}

// decide appends what becomes of routes that no policy has decided on.
func (k *compiler) decide(to *api.Policy, s scope, d config.Disposition) {
	if d == config.Reject || d == config.Accept && s.neighbor != "" {
		k.append(to, k.scoped(s, &api.Statement{Conditions: &api.Conditions{}, Actions: disposition(d)}))
	}
}

func disposition(d config.Disposition) *api.Actions {
	if d == config.Reject {
		return &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT}
	}
	return &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT}
}

// append numbers a statement, for names must differ. nil: there is none.
func (k *compiler) append(to *api.Policy, st *api.Statement) {
	if st != nil {
		k.n++
		st.Name = fmt.Sprintf("%s-%d", to.Name, k.n)
		to.Statements = append(to.Statements, st)
	}
}

// scoped makes a statement ask for its routes, too; nil: it meets none of them.
func (k *compiler) scoped(s scope, st *api.Statement) *api.Statement {
	if s.mark > 0 {
		st.Conditions.LargeCommunitySet = &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: markText(s.mark)}
	}
	if s.neighbor == "" {
		return st
	}
	address, ok := k.addresses[s.neighbor]
	if !ok {
		return nil
	}
	if m := st.Conditions.NeighborSet; m != nil {
		in := slices.ContainsFunc(k.neighbors[m.Name], func(p netip.Prefix) bool { return p.Contains(address) })
		if in != (m.Type == api.MatchSet_TYPE_ANY) {
			return nil
		}
	}
	st.Conditions.NeighborSet = &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: k.neighborSet(address)}
	return st
}

// neighborSet returns the name of the set of one neighbor.
func (k *compiler) neighborSet(a netip.Addr) string {
	name := "neighbor " + a.String()
	if _, ok := k.neighbors[name]; !ok {
		k.defineNeighbors(name, []netip.Prefix{netip.PrefixFrom(a, a.BitLen())})
	}
	return name
}

func (k *compiler) defineNeighbors(name string, list []netip.Prefix) {
	k.neighbors[name] = list
	set := &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_NEIGHBOR, Name: name}
	for _, p := range list {
		set.List = append(set.List, p.String())
	}
	if len(list) == 0 { // of GoBGP's, an empty one has all neighbors
		set.List = []string{"0.0.0.0/32"}
	}
	k.sets = append(k.sets, set)
}

// markAS is the AS of the large communities by which policies tell what is
// advertised for which reason. It is reserved (RFC 7300), and neighbors do not see it.
const markAS = 1<<32 - 1

func markText(n int) string { return fmt.Sprintf("%d:119:%d", uint32(markAS), n) }

// markSets are the lists of policies of what weft advertises, each once.
func (k *compiler) markSets() [][]string { return marks(k.config) }

func marks(c *Config) (all [][]string) {
	take := func(policy []string) {
		if len(policy) > 0 && markOf(all, policy) == 0 {
			all = append(all, policy)
		}
	}
	for _, r := range c.Redistribute {
		take(r.Policy)
	}
	for _, n := range c.Networks {
		take(n.Policy)
	}
	return all
}

// markOf returns the number of a list of policies; 0: there is none.
func markOf(all [][]string, policy []string) int {
	return slices.IndexFunc(all, func(o []string) bool { return slices.Equal(o, policy) }) + 1
}

// setPolicies gives GoBGP the policies, and applies those to the routes there are that
// have changed.
func (sp *speaker) setPolicies(ctx context.Context, old *Config) error {
	before, err := compile(old, sp.finder.addresses(), sp.via, sp.hops.lost)
	if err != nil {
		before = &program{in: &api.Policy{}, out: &api.Policy{}} // of a configuration that was not taken
	}
	now, err := compile(&sp.config, sp.finder.addresses(), sp.via, sp.hops.lost)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if sp.program != nil {
		before = sp.program
	}
	if !sp.policies && now.isEmpty() || sp.program != nil && proto.Equal(before.request, now.request) {
		return nil
	}
	if err := sp.bgp.SetPolicies(ctx, now.request); err != nil {
		return fmt.Errorf("%w: policies: %w", ErrConfig, err)
	}
	if !sp.policies {
		for name, way := range map[string]api.PolicyDirection{importName: api.PolicyDirection_POLICY_DIRECTION_IMPORT, exportName: api.PolicyDirection_POLICY_DIRECTION_EXPORT} {
			if err := sp.bgp.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
				Name: globalName, Direction: way, Policies: []*api.Policy{{Name: name}}, DefaultAction: api.RouteAction_ROUTE_ACTION_ACCEPT,
			}}); err != nil {
				return fmt.Errorf("%w: policies: %w", ErrConfig, err)
			}
		}
		sp.policies = true
	}
	sp.program = now
	return sp.reapply(ctx, before, now)
}

// reapply applies policies to routes that have come or gone before they changed.
func (sp *speaker) reapply(ctx context.Context, before, now *program) error {
	soft := func(way api.ResetPeerRequest_Direction) error {
		return sp.bgp.ResetPeer(ctx, &api.ResetPeerRequest{Address: "all", Soft: true, Direction: way})
	}
	sets := before.request == nil || !slices.EqualFunc(before.request.DefinedSets, now.request.DefinedSets, func(a, b *api.DefinedSet) bool { return proto.Equal(a, b) })
	var errs []error
	if sets || !sameStatements(before.in.Statements, now.in.Statements) {
		errs = append(errs, soft(api.ResetPeerRequest_DIRECTION_IN))
	}
	if sets || !sameStatements(before.configured(), now.configured()) {
		sp.originator.again()
	}
	if sets || !sameStatements(before.out.Statements, now.out.Statements) {
		errs = append(errs, soft(api.ResetPeerRequest_DIRECTION_OUT))
	}
	return errors.Join(errs...)
}

// sameStatements compares but for the names.
func sameStatements(a, b []*api.Statement) bool {
	return slices.EqualFunc(a, b, func(a, b *api.Statement) bool {
		return proto.Equal(a.Conditions, b.Conditions) && proto.Equal(a.Actions, b.Actions)
	})
}

// checkPolicies has GoBGP look at policies without using them.
func checkPolicies(ctx context.Context, p *program) error {
	if p.isEmpty() && len(p.request.DefinedSets) == 0 {
		return nil
	}
	s := gobgp.NewBgpServer()
	go s.Serve()
	defer s.Stop()
	if err := s.SetPolicies(ctx, proto.CloneOf(p.request)); err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	return nil
}

// isZero reports whether a condition or an action is not there.
func isZero(v any) bool { return reflect.ValueOf(v).IsZero() }

// parseNeighbor reads an entry of a neighbor set.
func (k *compiler) parseNeighbor(s string) (netip.Prefix, bool, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true, nil
	}
	if strings.ContainsAny(s, ":/") {
		return netip.Prefix{}, false, fmt.Errorf("%q is no address, prefix or interface of a neighbor", s)
	}
	a, ok := k.addresses[s]
	return netip.PrefixFrom(a, max(a.BitLen(), 0)), ok, nil
}
