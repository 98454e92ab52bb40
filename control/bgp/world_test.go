package bgp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"

	"weft/control"
	"weft/control/config"
	"weft/control/rib"
	"weft/control/static"
	"weft/fib"
)

// A router of these tests is a process of its own in a network namespace of its own:
// GoBGP keeps some settings for the whole process, and its threads go anywhere. It is
// this test binary, which is told what to do through its standard input.
const routerVariable = "WEFT_BGP_TEST_ROUTER"

func TestMain(m *testing.M) {
	if how := os.Getenv(routerVariable); how != "" {
		be := func() error { return beRouter(how == "restarted") }
		if how == "alone" {
			be = beAlone
		}
		if err := be(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	flag.Set("test.parallel", "16") //nolint:errcheck // these tests wait for timers of BGP, mostly
	os.Exit(m.Run())
}

// request is what a router is asked.
type request struct {
	Apply   *string // the text of a configuration
	Filter  *Filter
	Clear   *string
	How     Reset
	Routes  bool // those of BGP in the RIB
	Synced  bool // whether it is
	State   bool // neighbors, and the status
	Close   bool
	Inject  int
	Measure string
	Count   bool // how many prefixes the RIB has of BGP
	Table   bool // how much GoBGP has
}

type answer struct {
	Error     string
	Neighbors []Neighbor
	Status    Status
	Paths     []Path
	Routes    []route
	Synced    bool
}

// route is a route of BGP in the RIB.
type route struct {
	Prefix   netip.Prefix
	Metric   uint32
	Hops     []string // "192.0.2.1", "fe80::1 dev eth0"
	Resolved []string
	Selected bool
}

// noPorts: the RIB has none, so nothing is forwarded here.
type noPorts struct{}

func (noPorts) Number(int) (uint32, bool) { return 0, false }

// beRouter serves requests until its input ends.
func beRouter(restarted bool) error {
	im, err := fib.Create(make([]byte, 64<<20), fib.Options{})
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if os.Getenv("WEFT_BGP_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	var s *Server
	f, err := control.Open(control.Config{
		Image: im, Ports: noPorts{}, Log: log, Interface: func(control.Interface, bool) { s.InterfaceChanged() },
	})
	if err != nil {
		return err
	}
	s = New(Options{RIB: f, Restarted: restarted, Log: log})
	routes := static.New(f, log)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go f.Run(ctx) //nolint:errcheck // the test sees that nothing works
	<-f.Synced()
	go s.Run(ctx)
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var r request
		if in.Decode(&r) != nil {
			return nil
		}
		if err := out.Encode(serve(ctx, s, f, routes, &r)); err != nil {
			return err
		}
	}
}

func serve(ctx context.Context, s *Server, f *control.Follower, routes *static.Source, r *request) (a answer) {
	var err error
	switch {
	case r.Apply != nil:
		var c *config.Config
		if c, err = config.Parse("test", []byte(*r.Apply)); err == nil {
			err = errors.Join(routes.Replace(ctx, c), s.Replace(ctx, c))
		}
	case r.Filter != nil:
		for p, failed := range s.Paths(*r.Filter) {
			if err = failed; err == nil {
				a.Paths = append(a.Paths, p)
			}
		}
	case r.Clear != nil:
		err = s.Clear(*r.Clear, r.How)
	case r.Routes:
		err = f.Do(ctx, func(r *rib.RIB) { a.Routes = routesOf(r) })
	case r.Synced:
		select {
		case <-s.Synced():
			a.Synced = true
		default:
		}
	case r.State:
		a.Neighbors, err = s.Neighbors(true)
		if err == nil {
			a.Status, err = s.Status()
		}
	case r.Close:
		s.Close()
	case r.Inject > 0:
		err = inject(s, r.Inject)
	case r.Measure != "":
		a.Status.Paths, err = measure(s, r.Measure)
	case r.Table:
		a.Status, err = tables(s)
	case r.Count:
		a.Status.Paths = usage()
		err = f.Do(ctx, func(r *rib.RIB) {
			ipv4, ipv6 := r.CountOf(rib.BGP)
			a.Status.Installed = uint64(ipv4 + ipv6)
		})
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// tables returns what GoBGP says of its tables.
func tables(s *Server) (st Status, err error) {
	st.Prefixes, st.Paths = map[string]uint64{}, map[string]uint64{}
	sp, _ := s.lock()
	for name, family := range families {
		t, err := sp.bgp.GetTable(context.Background(), &api.GetTableRequest{
			TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: apiutil.ToApiFamily(family.Afi(), family.Safi()),
		})
		if err != nil {
			return st, err
		}
		st.Prefixes[string(name)], st.Paths[string(name)] = t.NumDestination, t.NumPath
	}
	return st, nil
}

func routesOf(r *rib.RIB) (all []route) {
	for _, k := range r.Keys(nil) {
		for _, c := range r.At(k) {
			if c.Offered != rib.BGP {
				continue
			}
			to := route{Prefix: c.Prefix, Metric: c.Metric, Selected: c.Selected}
			for _, h := range c.Hops {
				to.Hops = append(to.Hops, hopText(r, h.Gateway, h.Link))
			}
			for _, h := range c.Resolved {
				to.Resolved = append(to.Resolved, hopText(r, h.Gateway, h.Link))
			}
			all = append(all, to)
		}
	}
	return all
}

func hopText(r *rib.RIB, gateway netip.Addr, link int) string {
	if l, ok := r.Link(link); ok {
		return fmt.Sprintf("%s dev %s", gateway, l.Name)
	}
	return gateway.String()
}

// router is such a process.
type router struct {
	testing.TB
	netns string
	cmd   *exec.Cmd
	mu    sync.Mutex
	in    *json.Encoder
	out   *json.Decoder
	end   func()
}

var namespaces atomic.Uint32

// newNamespace makes a network namespace that ends with the test.
func newNamespace(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI runs this as root")
		}
		t.Skip("makes network namespaces: run as root")
	}
	name := fmt.Sprintf("weft-bgp-%d-%d", os.Getpid(), namespaces.Add(1))
	ip(t, "netns add "+name)
	t.Cleanup(func() { ip(t, "netns del "+name) })
	for _, setting := range []string{"net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1", "net/ipv6/conf/default/accept_dad=0"} {
		key, value, _ := strings.Cut(setting, "=")
		run(t, "ip", "netns", "exec", name, "sh", "-c", "echo "+value+" >/proc/sys/"+key)
	}
	ip(t, "-n "+name+" link set lo up")
	return name
}

func ip(t testing.TB, args string) { t.Helper(); run(t, "ip", strings.Fields(args)...) }

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// wire connects two namespaces; links are named after the other end.
func wire(t testing.TB, a, b, nameA, nameB string) {
	t.Helper()
	ip(t, fmt.Sprintf("-n %s link add %s type veth peer name %s netns %s", a, nameA, nameB, b))
	ip(t, fmt.Sprintf("-n %s link set %s up", a, nameA))
	ip(t, fmt.Sprintf("-n %s link set %s up", b, nameB))
}

// newRouter starts a router in a namespace.
func newRouter(t testing.TB, netns string) *router { return start(t, netns, "fresh") }

func start(t testing.TB, netns, how string) *router {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &router{TB: t, netns: netns, cmd: exec.Command("ip", "netns", "exec", netns, exe)}
	r.cmd.Env = append(os.Environ(), routerVariable+"="+how)
	in, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{t: t, name: netns}
	r.cmd.Stderr = log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.in, r.out = json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))
	r.end = sync.OnceFunc(func() {
		r.cmd.Process.Kill() //nolint:errcheck // it has ended
		r.cmd.Wait()         //nolint:errcheck // it was killed
	})
	t.Cleanup(r.end)
	return r
}

// lines passes what a router says on to the test's log.
type lines struct {
	t    testing.TB
	name string
}

func (l *lines) Write(b []byte) (int, error) {
	l.t.Logf("%s: %s", l.name, strings.TrimSpace(string(b)))
	return len(b), nil
}

// kill ends the process as kill -9 does.
func (r *router) kill() { r.end() }

// ask asks the router; an error of what was asked is returned.
func (r *router) ask(q request) (answer, error) {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var a answer
	if err := r.in.Encode(&q); err != nil {
		r.Fatalf("%s has ended: %v", r.netns, err)
	}
	if err := r.out.Decode(&a); err != nil {
		r.Fatalf("%s has ended: %v", r.netns, err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

func (r *router) must(q request) answer {
	r.Helper()
	a, err := r.ask(q)
	if err != nil {
		r.Fatalf("%s: %v", r.netns, err)
	}
	return a
}

// apply gives the router a configuration: the section bgp, without its name.
func (r *router) apply(section string) {
	r.Helper()
	r.must(request{Apply: whole(section)})
}

func whole(section string) *string {
	text := "version: 1\nbgp:\n" + section
	return &text
}

func (r *router) ip(args string) { r.Helper(); ip(r, "-n "+r.netns+" "+args) }

// paths returns paths as text: "10.0.0.0/8 via 192.0.2.1 as 65002 best".
func (r *router) paths(f Filter) string {
	r.Helper()
	var all []string
	for _, p := range r.must(request{Filter: &f}).Paths {
		text := fmt.Sprintf("%s via %s as [%s]", p.Prefix, p.NextHop, p.ASPathText())
		if p.Best {
			text += " best"
		}
		if p.Stale {
			text += " stale"
		}
		if p.Filtered {
			text += " filtered"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// routes returns the routes of BGP in the RIB, as text, sorted by prefix.
func (r *router) routes() string {
	r.Helper()
	byPrefix := map[netip.Prefix]string{}
	for _, route := range r.must(request{Routes: true}).Routes {
		text := fmt.Sprintf(" via %s metric %d", strings.Join(route.Hops, ","), route.Metric)
		if len(route.Resolved) == 0 {
			text += " dead"
		}
		byPrefix[route.Prefix] += text
	}
	return sorted(byPrefix)
}

// neighbor returns one.
func (r *router) neighbor(name string) Neighbor {
	r.Helper()
	for _, n := range r.must(request{State: true}).Neighbors {
		if n.Name == name {
			return n
		}
	}
	r.Fatalf("%s has no neighbor %s", r.netns, name)
	return Neighbor{}
}

// established waits for sessions.
func (r *router) established(names ...string) {
	r.Helper()
	for _, name := range names {
		eventually(r, func() string {
			if n := r.neighbor(name); n.State != Established {
				return fmt.Sprintf("%s: %s is %s (%s, %s, waits for %s)", r.netns, name, n.State, n.LastDown, n.LastError, n.Waiting)
			}
			return ""
		})
	}
}

// hasRoutes waits for the RIB to have exactly these routes of BGP.
func (r *router) hasRoutes(want ...string) {
	r.Helper()
	eventually(r, func() string {
		if got := r.routes(); got != strings.Join(want, "\n") {
			return fmt.Sprintf("%s has routes\n%s\nwant\n%s", r.netns, got, strings.Join(want, "\n"))
		}
		return ""
	})
}

// patience of eventually: nothing here takes long but on a machine that has other work.
const testPatience = 60 * time.Second

// eventually waits until wrong has nothing to say.
func eventually(t testing.TB, wrong func() string) {
	t.Helper()
	for deadline := time.Now().Add(testPatience); ; time.Sleep(20 * time.Millisecond) {
		text := wrong()
		if text == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(text)
		}
	}
}
