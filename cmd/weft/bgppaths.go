package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"weft/control/api"
)

// pathLines prints a line for each path.
type pathLines struct {
	w      *bufio.Writer
	format string
	headed bool   // the columns of the family have been named
	last   string // prefix
}

func (l *pathLines) begin(family string) error {
	wide := map[bool][2]int{false: {18, 15}, true: {28, 28}}[family == bgpFamilies[1].name]
	l.format = fmt.Sprintf("%%-4s %%-%ds %%-%ds %%10s %%8s  %%s\n", wide[0], wide[1])
	l.headed = false
	return nil
}

func (l *pathLines) head() {
	if l.last != "" { // of another family
		fmt.Fprintln(l.w)
	}
	fmt.Fprintf(l.w, l.format, "", "PREFIX", "NEXT HOP", "MED", "LOCPREF", "AS PATH")
	l.headed = true
}

func (l *pathLines) path(p *api.BGPPath) error {
	if !l.headed {
		l.head()
	}
	shown := p.GetPrefix()
	first := shown != l.last
	if l.last = shown; !first {
		shown = ""
	}
	rest := strings.TrimSpace(p.GetAsPath() + " " + originMark(p.GetOrigin()))
	if all := append(append(append([]string{}, p.GetCommunities()...), p.GetLargeCommunities()...), p.GetExtCommunities()...); len(all) > 0 {
		rest += " # " + strings.Join(all, " ")
	}
	_, err := fmt.Fprintf(l.w, l.format, marks(p, first), shown, nextHopText(p), optional(p.Med), optional(p.LocalPref), rest)
	return err
}

func (l *pathLines) flush() error { return l.w.Flush() }
func (l *pathLines) end() error   { return l.w.Flush() }

// pathDetails prints all that there is to say of the paths of one prefix.
type pathDetails struct {
	e    *env
	w    *bufio.Writer
	last string
}

func (*pathDetails) begin(string) error { return nil }

func (d *pathDetails) path(p *api.BGPPath) error {
	first := p.GetPrefix() != d.last
	if d.last = p.GetPrefix(); first {
		fmt.Fprintln(d.w, p.GetPrefix())
	}
	fmt.Fprintf(d.w, "  %-3s via %s%s%s\n", marks(p, first), nextHopText(p), pathSender(p), d.age(p.GetSince()))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(d.w, "        %-17s %s\n", name, value)
		}
	}
	line("as path", strings.TrimSpace(p.GetAsPath()+" "+originMark(p.GetOrigin())))
	line("med", optional(p.Med))
	line("local preference", optional(p.LocalPref))
	line("communities", strings.Join(p.GetCommunities(), " "))
	line("large communities", strings.Join(p.GetLargeCommunities(), " "))
	line("ext communities", strings.Join(p.GetExtCommunities(), " "))
	line("originator", p.GetOriginatorId())
	line("cluster list", strings.Join(p.GetClusters(), " "))
	line("aggregator", p.GetAggregator())
	if p.GetAtomicAggregate() {
		line("atomic aggregate", "yes")
	}
	if p.GetPathId() != 0 {
		line("path id", fmt.Sprint(p.GetPathId()))
	}
	return nil
}

func (d *pathDetails) flush() error { return d.w.Flush() }
func (d *pathDetails) end() error   { return d.w.Flush() }

// pathSender says whom a path is from.
func pathSender(p *api.BGPPath) string {
	if p.GetNeighbor() == "" {
		return ", of this router"
	}
	text := " from " + p.GetNeighbor()
	if p.GetFrom() != "" && p.GetFrom() != p.GetNeighbor() {
		text += " " + p.GetFrom()
	}
	if p.GetRouterId() != "" {
		text += " (" + p.GetRouterId() + ")"
	}
	return text + ", " + pathFrom(p)
}

func pathFrom(p *api.BGPPath) string {
	if p.GetInternal() {
		return "internal"
	}
	return "external"
}

// pathJSON prints FRR's 'show bgp all json', prefix by prefix.
type pathJSON struct {
	e        *env
	w        *bufio.Writer
	status   *api.BGPStatus
	families int
	prefix   string
	prefixes int // of the family
	paths    []*bgpPath
}

type bgpTableHead struct {
	VRF      int    `json:"vrfId"`
	VRFName  string `json:"vrfName"`
	RouterID string `json:"routerId"`
	LocalAS  uint32 `json:"localAS"`
}

// bgpPath is a path as FRR prints one.
type bgpPath struct {
	Valid     bool         `json:"valid,omitempty"`
	Best      bool         `json:"bestpath,omitempty"`
	Multipath bool         `json:"multipath,omitempty"`
	Stale     bool         `json:"stale,omitempty"`
	Filtered  bool         `json:"filtered,omitempty"`
	From      string       `json:"pathFrom"`
	Prefix    string       `json:"prefix"`
	Length    int          `json:"prefixLen"`
	Network   string       `json:"network"`
	MED       *uint32      `json:"metric,omitempty"`
	LocalPref *uint32      `json:"locPrf,omitempty"`
	Peer      string       `json:"peerId"`
	RouterID  string       `json:"routerId,omitempty"`
	PathID    uint32       `json:"pathId,omitempty"`
	Path      string       `json:"path"`
	Origin    string       `json:"origin"`
	Nexthops  []bgpNexthop `json:"nexthops"`

	Communities *bgpCommunities `json:"community,omitempty"`
	Large       *bgpCommunities `json:"largeCommunity,omitempty"`
	Extended    *bgpCommunities `json:"extendedCommunity,omitempty"`
	Originator  string          `json:"originatorId,omitempty"`
	Clusters    []string        `json:"clusterList,omitempty"`
	Atomic      bool            `json:"atomicAggregate,omitempty"`
	Aggregator  string          `json:"aggregator,omitempty"`
	LastUpdate  *bgpLastUpdate  `json:"lastUpdate,omitempty"`
}

type bgpNexthop struct {
	IP        string `json:"ip"`
	AFI       string `json:"afi"`
	Interface string `json:"interfaceName,omitempty"`
	Used      bool   `json:"used"`
}

type bgpCommunities struct {
	Text string   `json:"string"`
	List []string `json:"list"`
}

type bgpLastUpdate struct {
	Epoch int64  `json:"epoch"`
	Text  string `json:"string"`
}

func (j *pathJSON) newPath(p *api.BGPPath, first bool) *bgpPath {
	address, length, _ := strings.Cut(p.GetPrefix(), "/")
	out := &bgpPath{
		Valid: p.GetValid(), Best: p.GetBest() && first, Multipath: p.GetBest() && !first, Stale: p.GetStale(), Filtered: p.GetFiltered(),
		From: pathFrom(p), Prefix: address, Network: p.GetPrefix(), MED: p.Med, LocalPref: p.LocalPref,
		Peer: orText(p.GetNeighbor(), "(unspec)"), RouterID: p.GetRouterId(), PathID: p.GetPathId(), Path: p.GetAsPath(),
		Origin:      orText(map[string]string{"igp": "IGP", "egp": "EGP"}[p.GetOrigin()], "incomplete"),
		Communities: newCommunities(p.GetCommunities()), Large: newCommunities(p.GetLargeCommunities()), Extended: newCommunities(p.GetExtCommunities()),
		Originator: p.GetOriginatorId(), Clusters: p.GetClusters(), Atomic: p.GetAtomicAggregate(), Aggregator: p.GetAggregator(),
	}
	if prefix, err := netip.ParsePrefix(p.GetPrefix()); err == nil && length != "" {
		out.Length = prefix.Bits()
	}
	hop := bgpNexthop{IP: orText(p.GetNextHop(), nextHopText(p)), AFI: "ipv4", Interface: p.GetInterface(), Used: true}
	if strings.Contains(hop.IP, ":") {
		hop.AFI = "ipv6"
	}
	out.Nexthops = []bgpNexthop{hop}
	if since := p.GetSince(); since != 0 {
		out.LastUpdate = &bgpLastUpdate{since / int64(time.Second), j.e.stamp(since)}
	}
	return out
}

func newCommunities(list []string) *bgpCommunities {
	if len(list) == 0 {
		return nil
	}
	return &bgpCommunities{strings.Join(list, " "), list}
}

// begin opens a family: {"ipv4Unicast":{"vrfId":0,...,"routes":{
func (j *pathJSON) begin(family string) error {
	before := "{"
	if j.families > 0 {
		if err := j.endFamily(); err != nil {
			return err
		}
		before = ","
	}
	j.families++
	j.prefix, j.prefixes = "", 0
	head, err := json.Marshal(bgpTableHead{VRFName: "default", RouterID: j.status.GetRouterId(), LocalAS: j.status.GetAs()})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(j.w, "%s%q:%s,\"routes\":{", before, familyKey(family), strings.TrimSuffix(string(head), "}"))
	return err
}

func (j *pathJSON) path(p *api.BGPPath) error {
	first := p.GetPrefix() != j.prefix
	if first {
		if err := j.endPrefix(); err != nil {
			return err
		}
		j.prefix = p.GetPrefix()
	}
	j.paths = append(j.paths, j.newPath(p, first))
	return nil
}

// endPrefix prints the paths of a prefix.
func (j *pathJSON) endPrefix() error {
	if len(j.paths) == 0 {
		return nil
	}
	b, err := j.e.marshal(j.paths, "")
	if err != nil {
		return err
	}
	between := ",\n"
	if j.prefixes == 0 {
		between = "\n"
	}
	j.prefixes++
	j.paths = j.paths[:0]
	_, err = fmt.Fprintf(j.w, "%s%q:%s", between, j.prefix, b)
	return err
}

func (j *pathJSON) endFamily() error {
	if err := j.endPrefix(); err != nil {
		return err
	}
	_, err := j.w.WriteString("}}")
	return err
}

func (j *pathJSON) flush() error { return j.w.Flush() }

func (j *pathJSON) end() error {
	if err := j.endFamily(); err != nil {
		return err
	}
	if _, err := j.w.WriteString("}\n"); err != nil {
		return err
	}
	return j.w.Flush()
}
