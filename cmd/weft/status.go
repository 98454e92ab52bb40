package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weft/control/api"
	"weft/dataplane"
)

func newStatusCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Tell what runs, and whether all is well",
		Long: `Tells on one screen what the daemon does: since when, on which ports, with how
many routes, how it follows the kernel, and where else routes come from. What is not
as it should be stands first, with the command that mends it.

The exit code is 4 when no daemon answers, and 3 when packets are unaccounted:
Linux has received them by a port, and weft has counted them nowhere.`,
		Example: `  weft status
  weft -n router1 status
  weft status --json | jq .state`,
		Annotations:       map[string]string{client: noun},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE:              func(cmd *cobra.Command, _ []string) error { return e.status(cmd.Context()) },
	}
}

type routerStatus struct {
	Version     string        `json:"version"`
	PID         int64         `json:"pid"`
	Started     string        `json:"started"`
	Uptime      int64         `json:"uptime_seconds"`
	Netns       string        `json:"netns"`
	Pins        string        `json:"pins"`
	State       string        `json:"state"`
	Reason      string        `json:"degraded,omitempty"`
	Adopted     bool          `json:"adopted"`
	Memory      uint64        `json:"memory"`
	Ports       []string      `json:"ports"`
	Refused     []refused     `json:"refused"`
	Unaccounted uint64        `json:"unaccounted"` // packets, of all ports
	FIB         fibStatus     `json:"fib"`
	Netlink     netlinkStatus `json:"netlink"`
	Program     programStatus `json:"program"`
	FPM         *fpmStatus    `json:"fpm,omitempty"` // none: it takes no routes from FRR
	BGP         *bgpBrief     `json:"bgp,omitempty"` // none: it is not configured
	Export      *exportStatus `json:"export,omitempty"`
	Waiting     []waiting     `json:"waiting"` // of the configuration; the first of them
	WaitingAll  uint64        `json:"waiting_count"`
	Trouble     []string      `json:"trouble"`
}

type fibStatus struct {
	Size         uint64 `json:"size"`
	Used         uint64 `json:"used"`
	Generation   uint64 `json:"generation"`
	IPv4Routes   uint64 `json:"ipv4_routes"`
	IPv6Routes   uint64 `json:"ipv6_routes"`
	Groups       uint64 `json:"groups"`
	Adjacencies  uint64 `json:"adjacencies"`
	NotInstalled uint64 `json:"not_installed"`
	VRFs         uint32 `json:"vrfs"`
	Unresolved   uint64 `json:"unresolved"`
	Parked       uint64 `json:"parked"`
	Exported     uint64 `json:"exported"`
}

// bgpBrief says in short what BGP does.
type bgpBrief struct {
	AS          uint32            `json:"as"`
	RouterID    string            `json:"router_id"`
	Neighbors   uint64            `json:"neighbors"`
	Established uint64            `json:"established"`
	Restarting  bool              `json:"restarting"`
	Prefixes    map[string]uint64 `json:"prefixes"` // by family
	Installed   uint64            `json:"installed"`
	Refused     uint64            `json:"refused"`
	Pending     uint64            `json:"pending"`
}

func newBGPBrief(b *api.BGPStatus) *bgpBrief {
	if b == nil {
		return nil
	}
	out := &bgpBrief{
		b.GetAs(), b.GetRouterId(), b.GetNeighbors(), b.GetEstablished(), b.GetRestarting(), map[string]uint64{},
		b.GetInstalled(), b.GetRefused(), b.GetPending(),
	}
	for _, t := range b.GetTables() {
		out.Prefixes[t.GetFamily()] = t.GetPrefixes()
	}
	return out
}

func (b *bgpBrief) String() string {
	text := fmt.Sprintf("AS %d, %d of %s established; %d IPv4 and %d IPv6 prefixes", b.AS, b.Established, count(b.Neighbors, "neighbor"),
		b.Prefixes[bgpFamilies[0].name], b.Prefixes[bgpFamilies[1].name])
	if b.Pending > 0 {
		text += fmt.Sprintf(", %d pending", b.Pending)
	}
	if b.Restarting {
		text += "; restarting: the routes of before stay until neighbors have sent theirs"
	}
	return text
}

// exportStatus says how far weft's own routes are in the kernel.
type exportStatus struct {
	Routes    uint64 `json:"routes"`
	Pending   uint64 `json:"pending"`
	Conflicts uint64 `json:"conflicts"`
	Refused   uint64 `json:"refused"`
	Changes   uint64 `json:"changes"`
}

// waiting is something of the configuration that cannot be in force yet.
type waiting struct {
	Thing string `json:"thing"`
	For   string `json:"for"`
}

type netlinkStatus struct {
	Changes     uint64 `json:"changes"`
	Overruns    uint64 `json:"overruns"`
	Interrupted uint64 `json:"interrupted"`
	Syncs       uint64 `json:"syncs"`
	Failed      uint64 `json:"failed"`
	Undecodable uint64 `json:"undecodable"`
	LastSync    int64  `json:"last_sync_ns"`

	Rereading *rereading `json:"rereading,omitempty"` // none: there is no need to
}

type programStatus struct {
	ID           uint32   `json:"id"`
	Tag          string   `json:"tag"`
	Instructions uint32   `json:"instructions"`
	JITedBytes   uint32   `json:"jited_bytes"`
	Features     []string `json:"features"`
}

func (e *env) status(ctx context.Context) error {
	var s *api.Status
	var p *api.Ports
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) (err error) {
		if s, err = c.GetStatus(ctx, &api.StatusRequest{}); err == nil {
			p, err = c.ListPorts(ctx, &api.PortsRequest{})
		}
		return err
	})
	if err != nil {
		return err
	}
	all := e.newPorts(p, "")
	out := e.newStatus(s, all)
	if e.json {
		err = e.printJSON(out)
	} else {
		err = out.print(e.stdout, all)
	}
	if err == nil && out.Unaccounted > 0 {
		return outcome(codePartial)
	}
	return err
}

func (e *env) newStatus(s *api.Status, p *ports) *routerStatus {
	f, n, g := s.GetFib(), s.GetNetlink(), s.GetProgram()
	out := &routerStatus{
		Version: s.GetVersion(), PID: s.GetPid(), Started: e.stamp(s.GetStarted()), Netns: s.GetNetns(), Pins: s.GetPins(),
		Uptime: int64(e.now().Sub(time.Unix(0, s.GetStarted())).Seconds()),
		State:  s.GetState(), Reason: s.GetDegraded(), Adopted: s.GetAdopted(), Memory: s.GetMemory(), Ports: []string{}, Refused: p.Refused,
		Unaccounted: s.GetUnaccounted(),
		FIB: fibStatus{f.GetSize(), f.GetUsed(), f.GetGeneration(), f.GetIpv4Routes(), f.GetIpv6Routes(), f.GetGroups(), f.GetAdjacencies(),
			f.GetNotInstalled(), f.GetVrfs(), f.GetUnresolved(), f.GetParked(), f.GetExported()},
		Netlink: netlinkStatus{n.GetChanges(), n.GetOverruns(), n.GetInterrupted(), n.GetSyncs(), n.GetFailed(), n.GetUndecodable(), n.GetLastSync(),
			e.newRereading(n.GetRereading())},
		Program: programStatus{g.GetId(), g.GetTag(), g.GetInstructions(), g.GetJitedBytes(), append([]string{}, g.GetFeatures()...)},
	}
	out.FPM = e.newFPMStatus(s.GetFpm())
	out.BGP = newBGPBrief(s.GetBgp())
	out.own(s)
	for _, one := range p.Ports {
		out.Ports = append(out.Ports, one.Ifname)
	}
	out.Trouble = append(out.troubles(), p.troubles()...)
	if out.Version != e.version && out.Version != "" {
		out.Trouble = append(out.Trouble, fmt.Sprintf("the daemon is version %s, this command %s: 'sudo weft run' takes over with this one", out.Version, e.version))
	}
	return out
}

// own takes over how far the configuration's and weft's own routes are.
func (s *routerStatus) own(m *api.Status) {
	if x := m.GetExport(); x != nil {
		s.Export = &exportStatus{x.GetRoutes(), x.GetPending(), x.GetConflicts(), x.GetRefused(), x.GetChanges()}
	}
	s.Waiting, s.WaitingAll = []waiting{}, m.GetWaitingCount()
	for _, w := range m.GetWaiting() {
		s.Waiting = append(s.Waiting, waiting{w.GetThing(), w.GetFor()})
	}
}

// waitingInWords names some of what waits.
func (s *routerStatus) waitingInWords() string {
	const most = 3
	var all []string
	for _, w := range s.Waiting[:min(len(s.Waiting), most)] {
		all = append(all, w.Thing+" for "+w.For)
	}
	if s.WaitingAll > most {
		all = append(all, "...")
	}
	return fmt.Sprintf("%d: %s", s.WaitingAll, strings.Join(all, ", "))
}

// String says which of weft's own routes the kernel has.
func (x *exportStatus) String() string {
	text := "has " + count(x.Routes, "route") + " of weft's own"
	for _, part := range []struct {
		n    uint64
		what string
	}{{x.Conflicts, "in conflict with others'"}, {x.Refused, "refused"}, {x.Pending, "pending"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return text
}

// troubles says what is not as it should be.
func (s *routerStatus) troubles() []string {
	out := []string{}
	switch s.State {
	case "forwarding":
		if len(s.Ports) == 0 {
			out = append(out, "NO PORTS: nothing is forwarded: 'weft doctor' tells what interfaces lack")
		}
		if n := s.FIB.NotInstalled; n > 0 {
			out = append(out, fmt.Sprintf("FIB FULL: Linux forwards what follows %s: free memory, or raise --fib-size of 'weft run'", count(n, "route")))
		}
	case "loading":
		out = append(out, "LOADING: Linux forwards until all routes are read: ask again in some seconds")
	case "kernel":
		out = append(out, fmt.Sprintf("LINUX FORWARDS, not weft: the FIB has no room for %s: free memory, then 'sudo weft stop' and 'sudo weft run'",
			count(s.FIB.NotInstalled, "route")))
	case "degraded":
		out = append(out, "DEGRADED: a program that is needed is refused, the one before forwards: "+s.Reason+
			": it is tried again; the daemon's log has more")
	default:
		out = append(out, "NOT FORWARDING: state "+s.State+": see the daemon's log")
	}
	if s.BGP != nil && s.BGP.Established < s.BGP.Neighbors {
		out = append(out, fmt.Sprintf("BGP: %d of %s established: 'weft bgp' tells why", s.BGP.Established, count(s.BGP.Neighbors, "neighbor")))
	}
	if x := s.Export; x != nil && x.Conflicts+x.Refused > 0 {
		out = append(out, fmt.Sprintf("NOT IN THE KERNEL: %s of weft's own, which packets that Linux forwards do not follow: 'weft routes --all' tells why",
			count(x.Conflicts+x.Refused, "route")))
	}
	return out
}

func (s *routerStatus) print(w io.Writer, p *ports) error {
	var b strings.Builder
	for _, line := range s.Trouble {
		fmt.Fprintf(&b, "!! %s\n", line)
	}
	state := map[string]string{"forwarding": "forwarding", "loading": "loading", "kernel": "Linux forwards", "degraded": "degraded"}[s.State]
	if state == "" {
		state = s.State
	}
	if s.Adopted {
		state += "; this daemon took over what was forwarding when it started"
	}
	started, _, _ := strings.Cut(s.Started, ".")
	since := fmt.Sprintf("for %s, since %s", short(time.Duration(s.Uptime)*time.Second), strings.Replace(started, "T", " ", 1))
	f, n, g := &s.FIB, &s.Netlink, &s.Program
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s "+format+"\n", append([]any{name}, args...)...)
	}
	line("state", "%s", state)
	line("daemon", "weft %s, pid %d, %s", s.Version, s.PID, since)
	line("netns", "%s", s.Netns)
	line("ports", "%s", p.summary())
	line("packets", "%s", accounted(p, s.Unaccounted))
	line("routes", "%d IPv4 and %d IPv6, in %s", f.IPv4Routes, f.IPv6Routes, count(f.VRFs, "VRF"))
	line("next hops", "%s, %s", count(f.Groups, "group"), count(f.Adjacencies, "adjacency"))
	line("fib", "%s used of %s, generation %d", size(f.Used), size(f.Size), f.Generation)
	line("netlink", "%s; %s, the last took %s; %s", count(n.Changes, "change"), count(n.Syncs, "sync"), short(time.Duration(n.LastSync)), n.losses())
	if n.Rereading != nil {
		line("reading", "%s", n.Rereading)
	}
	if s.FPM != nil {
		line("fpm", "%s", s.FPM)
	}
	if s.BGP != nil {
		line("bgp", "%s", s.BGP)
	}
	if x := s.Export; x != nil && x.Routes+x.Pending+x.Conflicts+x.Refused > 0 {
		line("kernel", "%s", x)
	}
	if s.WaitingAll > 0 {
		line("waiting", "%s", s.waitingInWords())
	}
	line("program", "id %d tag %s, %s, %d bytes of machine code", g.ID, g.Tag, count(g.Instructions, "instruction"), g.JITedBytes)
	features := strings.Join(g.Features, ", ")
	if features == "" {
		features = "none"
	}
	line("features", "%s", features)
	line("memory", "%s", size(s.Memory))
	line("pins", "%s", s.Pins)
	_, err := io.WriteString(w, b.String())
	return err
}

// accounted says whether what Linux has received is what weft has counted.
func accounted(p *ports, unaccounted uint64) string {
	text := fmt.Sprintf("%d unaccounted", unaccounted)
	if unknown := len(p.notes()); unknown > 0 {
		text += fmt.Sprintf(", not known of %s: see 'weft ports'", count(unknown, "port"))
	}
	return text
}

func (n *netlinkStatus) losses() string {
	if n.Overruns+n.Interrupted+n.Failed+n.Undecodable == 0 {
		return "nothing lost"
	}
	return fmt.Sprintf("%s, %s, %d failed, %d undecodable", count(n.Overruns, "overrun"), count(n.Interrupted, "interrupted dump"), n.Failed, n.Undecodable)
}

// summary counts ports by mode, and names them as long as a line lasts.
func (p *ports) summary() string {
	if len(p.Ports) == 0 {
		return "none"
	}
	var names []string
	for _, one := range p.Ports {
		name := one.Ifname + " "
		if one.Engine == dataplane.Soft.String() {
			name += one.Engine + " "
		}
		name += one.Mode
		if !one.Up {
			name += " DOWN"
		}
		names = append(names, name)
	}
	const most = 6
	if len(names) > most {
		names = append(names[:most], "...: see 'weft ports'")
	}
	return fmt.Sprintf("%d: %s", len(p.Ports), strings.Join(names, ", "))
}
