package bgp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/osrg/gobgp/v4/api"

	"weft/control/config"
)

// A path with our own AS in it is none (RFC 4271 9.1.2). GoBGP 4.8 leaves it out, but also
// leaves what the neighbor had sent before in its place (osrg/gobgp#2832), so a neighbor
// that sends our own route back in place of its own would keep a route that nobody has.
// So GoBGP is told to take such paths, and the first import policy refuses them, which
// withdraws what was there.

// anyOwnAS is what GoBGP's own check is told: any number of times.
const anyOwnAS = 255

// refuseLoops appends the statements that refuse paths with our own AS.
func (k *compiler) refuseLoops(p *program) {
	if !slices.ContainsFunc(k.config.Neighbors, isSpecial) {
		if len(k.config.Neighbors) > 0 {
			k.append(p.in, k.refuseLoop(k.config.AS, 0))
		}
		return
	}
	for i := range k.config.Neighbors {
		n := &k.config.Neighbors[i]
		as := k.config.AS
		if n.LocalAS != 0 {
			as = n.LocalAS
		}
		k.append(p.in, k.scoped(scope{neighbor: n.Name()}, k.refuseLoop(as, n.AllowOwnAS)))
	}
}

// isSpecial reports whether another AS than weft's counts, or another number of it.
func isSpecial(n config.BGPNeighbor) bool { return n.LocalAS != 0 || n.AllowOwnAS != 0 }

// refuseLoop refuses paths in which an AS is more often than allowed.
func (k *compiler) refuseLoop(as uint32, allowed uint8) *api.Statement {
	name := fmt.Sprintf("own AS %d, %d", as, allowed)
	if !slices.ContainsFunc(k.sets, func(s *api.DefinedSet) bool { return s.Name == name }) {
		pattern := fmt.Sprintf("_%d_", as) // which GoBGP matches without a regular expression
		pattern += strings.Repeat(fmt.Sprintf("(.*_)?%d_", as), int(allowed))
		k.sets = append(k.sets, &api.DefinedSet{DefinedType: api.DefinedType_DEFINED_TYPE_AS_PATH, Name: name, List: []string{pattern}})
	}
	return &api.Statement{
		Conditions: &api.Conditions{AsPathSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: name}},
		Actions:    disposition(config.Reject),
	}
}
