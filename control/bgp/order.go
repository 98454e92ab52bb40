package bgp

import (
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// orderChunk is how many prefixes GoBGP is asked about at a time.
const orderChunk = 512

// destination is a prefix with its paths.
type destination struct {
	prefix netip.Prefix
	paths  []*apiutil.Path
}

// inOrder calls each with the paths of each prefix, in the order of prefixes, until it
// returns false: GoBGP has none. The prefixes are taken at once, 32 MB for a million;
// what leads to them a chunk at a time. Who asks for what a neighbor has sent
// makes GoBGP copy that once.
func (sp *speaker) inOrder(r apiutil.ListPathRequest, each func([]*apiutil.Path) bool) error {
	if r.TableType == api.TableType_TABLE_TYPE_ADJ_OUT { // which GoBGP makes anew for each question
		_, err := sp.sorted(r, each)
		return err
	}
	prefixes, err := sp.named(r)
	if err != nil {
		return err
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	for chunk := range slices.Chunk(slices.Compact(prefixes), orderChunk) {
		r.Prefixes = nil
		for _, p := range chunk {
			r.Prefixes = append(r.Prefixes, &apiutil.LookupPrefix{Prefix: p.String(), LookupOption: apiutil.LOOKUP_EXACT})
		}
		if going, err := sp.sorted(r, each); err != nil || !going {
			return err
		}
	}
	return nil
}

// named returns the prefixes that are asked for, in no order.
func (sp *speaker) named(r apiutil.ListPathRequest) (prefixes []netip.Prefix, err error) {
	if r.TableType != api.TableType_TABLE_TYPE_GLOBAL {
		err = sp.bgp.ListPath(r, func(n bgp.NLRI, _ []*apiutil.Path) { prefixes = append(prefixes, prefixOf(n)) })
		return prefixes, err
	}
	if len(r.Prefixes) == 0 {
		return sp.prefixes(r.Family)
	}
	within, err := netip.ParsePrefix(r.Prefixes[0].Prefix)
	if err != nil || r.Prefixes[0].LookupOption == apiutil.LOOKUP_EXACT {
		return []netip.Prefix{within}, err
	}
	all, err := sp.prefixes(r.Family)
	return slices.DeleteFunc(all, func(p netip.Prefix) bool { return p.Bits() < within.Bits() || !within.Contains(p.Addr()) }), err
}

// sorted is inOrder, all at once.
func (sp *speaker) sorted(r apiutil.ListPathRequest, each func([]*apiutil.Path) bool) (going bool, err error) {
	var all []destination
	if err := sp.bgp.ListPath(r, func(n bgp.NLRI, paths []*apiutil.Path) { all = append(all, destination{prefixOf(n), paths}) }); err != nil {
		return false, err
	}
	if r.TableType == api.TableType_TABLE_TYPE_ADJ_IN {
		if err := sp.markFiltered(r, all); err != nil {
			return false, err
		}
	}
	slices.SortFunc(all, func(a, b destination) int { return a.prefix.Compare(b.prefix) })
	for _, d := range all {
		if !each(d.paths) {
			return false, nil
		}
	}
	return true, nil
}

// markFiltered marks the paths of a neighbor that are not in the Loc-RIB. GoBGP would
// say so, too (EnableFiltered), but leaves what the policies make of a path in the
// Adj-RIB-In, so that they are applied to it once more the next time.
func (sp *speaker) markFiltered(r apiutil.ListPathRequest, all []destination) error {
	type accepted struct {
		prefix netip.Prefix
		from   string
		id     uint32
	}
	taken := map[accepted]bool{}
	from := r.Name
	r.TableType, r.Name = api.TableType_TABLE_TYPE_GLOBAL, ""
	if err := sp.bgp.ListPath(r, func(n bgp.NLRI, paths []*apiutil.Path) {
		for _, p := range paths {
			taken[accepted{prefixOf(n), p.PeerAddress.String(), p.RemoteID}] = true
		}
	}); err != nil {
		return err
	}
	for _, d := range all {
		for _, p := range d.paths {
			p.Filtered = !taken[accepted{d.prefix, from, p.RemoteID}]
		}
	}
	return nil
}

func prefixOf(n bgp.NLRI) netip.Prefix {
	if p, ok := n.(*bgp.IPAddrPrefix); ok {
		return p.Prefix
	}
	return netip.Prefix{}
}
