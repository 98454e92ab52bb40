package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
	"weft/fib"
)

// Config is what a Follower works with. Image, Ports and Reasons are needed.
type Config struct {
	Image   *fib.Image
	Ports   rib.Ports
	Reasons rib.Reasons

	// Grow and NotInstalled are as in rib.Options.
	Grow         func(im *fib.Image, size int) (*fib.Image, error)
	NotInstalled func(routes int, astray bool)

	// Interface, if not nil, is called for each link when it appears, changes or
	// goes. It may make links ports, or no ports any more: the routes over them
	// follow when it returns.
	Interface func(i Interface, there bool)

	// Export and ThroughDefault are as in rib.Options.
	Export         func(*rib.Export)
	ThroughDefault bool

	// VRF, if not nil, tells in which VRF a link was when it was made a port that
	// the owner has taken over.
	VRF func(link int) (vrf int, ok bool)

	// Observe, if not nil, is given each change of the kernel before it is taken
	// in. What a synchronization finds is not told.
	Observe func(*rib.RIB, kernel.Event)

	// Synced, if not nil, is told of each synchronization how long it took.
	Synced func(took time.Duration)

	// IsUsed, if not nil, tells whether packets have gone to an adjacency lately:
	// the others are not kept fresh.
	IsUsed func(fib.AdjacencyID) bool

	ReceiveBuffer int           // bytes; 0: 64 MiB
	Refresh       time.Duration // how often stale neighbors are looked for; 0: 5 s
	Log           *slog.Logger  // nil: none
}

const (
	defaultBuffer  = 64 << 20
	defaultRefresh = 5 * time.Second

	// A dump waits for the end of what made it necessary, and takes a fifth of
	// the time at most.
	syncDelay = 100 * time.Millisecond
	syncShare = 5

	dumpTries = 3
	maxCalls  = 64   // between two publications
	batch     = 1024 // changes between two publications, at most
	pollEvery = 1024 // messages of a dump between two looks at the changes
	pollMost  = 4096 // changes that are taken in one look
)

// Follower mirrors one network namespace into an image.
type Follower struct {
	config  Config
	rib     *rib.RIB
	watcher *kernel.Watcher
	conn    *kernel.Conn

	arrived chan arrival
	calls   chan func()
	acks    []func(generation uint64) // what waits for the next publication
	more    chan struct{}             // the next publication has something to do
	synced  chan struct{}
	done    chan struct{}

	forwarding map[netconfKey]bool // what links do with packets of a family
	policy     map[uint8]bool      // families whose routes are chosen by more than the destination
	told       map[int]Interface   // by Config.Interface
	numbers    map[int]uint32      // of links that are ports

	held     []kernel.Event // while dumping
	retakes  map[rib.Key]*retake
	round    int         // of dumps
	gone     uint64      // IPv6 routes that went while routes were dumped
	gaps     bool        // the last dump of IPv6 routes may have left out some
	dumped   bool        // no dump is to come that could be older than a change of a route
	inOrder  bool        // all changes of routes and next-hop objects are held
	settle   *time.Timer // until interfaces are told that have lost settings
	timer    *time.Timer // until the next synchronization
	waiting  bool        // for timer
	next     Rereading   // while waiting
	running  Rereading   // while reading
	lastSync time.Time   // its end
	lastTook time.Duration
	route    kernel.Route // reused
	counts   Counts

	verifying sync.Mutex
	watched   map[rib.Key]bool // prefixes that a verification asks about: whether they have changed
}

// arrival is what Watcher.Receive returned.
type arrival struct {
	events  []kernel.Event
	err     error
	drained bool // the buffer is empty for the first time since it ran over
}

// Open subscribes to the changes of the network namespace of the calling thread.
// Needs CAP_NET_ADMIN there for the receive buffer.
func Open(config Config) (*Follower, error) {
	if config.ReceiveBuffer == 0 {
		config.ReceiveBuffer = defaultBuffer
	}
	if config.Refresh == 0 {
		config.Refresh = defaultRefresh
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	watcher, err := kernel.Watch(config.ReceiveBuffer)
	if err != nil {
		return nil, err
	}
	// gofail: var followerSubscribed struct{}
	conn, err := kernel.Open()
	if err != nil {
		watcher.Close()
		return nil, err
	}
	f := &Follower{
		config: config, watcher: watcher, conn: conn,
		rib: rib.New(config.Image, rib.Options{
			Ports: config.Ports, Reasons: config.Reasons, Grow: config.Grow, NotInstalled: config.NotInstalled, Log: config.Log,
			Export: config.Export, ThroughDefault: config.ThroughDefault,
		}),
		arrived: make(chan arrival, 64), calls: make(chan func()),
		more: make(chan struct{}, 1), synced: make(chan struct{}), done: make(chan struct{}),
		forwarding: map[netconfKey]bool{}, policy: map[uint8]bool{}, told: map[int]Interface{}, numbers: map[int]uint32{},
		timer: time.NewTimer(time.Hour), settle: time.NewTimer(time.Hour),
	}
	f.timer.Stop()
	f.settle.Stop()
	return f, nil
}

// Synced is closed when the image is filled.
func (f *Follower) Synced() <-chan struct{} { return f.synced }

// Do calls fn between two changes, in the goroutine that owns the RIB and the
// image, and waits for it.
//
// Errors: that of ctx; ErrStopped.
func (f *Follower) Do(ctx context.Context, fn func(*rib.RIB)) error {
	ended := make(chan struct{})
	select {
	case f.calls <- func() { fn(f.rib); close(ended) }:
		<-ended
		return nil
	case <-f.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Update calls change as Do does, and then, when what it has changed is published
// to all engines, published with the generation: RIB.State tells there what has
// become of a route. It waits for that, so a source hands over many changes at
// once. published may be nil. Before the first synchronization has ended nothing
// is published.
//
// Errors: that of ctx, when nothing was changed; ErrStopped, when it may have been.
func (f *Follower) Update(ctx context.Context, change func(*rib.RIB), published func(r *rib.RIB, generation uint64)) error {
	ended := make(chan struct{})
	if err := f.Do(ctx, func(r *rib.RIB) {
		change(r)
		f.acks = append(f.acks, func(generation uint64) {
			if published != nil {
				published(r, generation)
			}
			close(ended)
		})
	}); err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-f.done:
		return ErrStopped
	}
}

// UpdatePorts calls fn, which may make links ports or no ports any more, as Do
// does, and brings the routes over them up to date.
func (f *Follower) UpdatePorts(ctx context.Context, fn func()) error {
	return f.Do(ctx, func(r *rib.RIB) {
		fn()
		f.portsChanged(r)
	})
}

// ErrStopped: the Follower does not run any more.
var ErrStopped = errors.New("not following the kernel any more")

// Run follows until ctx ends, and closes the Follower: it can run once. The
// image stays.
//
// Errors: when the first synchronization fails. Later ones are repeated until
// they succeed.
func (f *Follower) Run(ctx context.Context) error {
	received := make(chan struct{})
	defer func() {
		close(f.done)
		f.watcher.Close()
		f.conn.Close()
		<-received
	}()
	go f.receive(received)
	if err := f.first(ctx); err != nil {
		return fmt.Errorf("first synchronization: %w", err)
	}
	close(f.synced)
	refresh := time.NewTicker(f.config.Refresh)
	defer refresh.Stop()
	for {
		select {
		case a := <-f.arrived:
			f.takeAll(a)
		case <-f.more:
			f.publish()
		case <-f.timer.C:
			f.waiting = false
			f.again()
		case <-f.settle.C:
			f.tellInterfaces()
			f.publish()
		case <-refresh.C:
			f.refresh()
			f.rib.Retry()
			f.publish()
		case call := <-f.calls:
			f.serve(call)
		case <-ctx.Done():
			return nil
		}
	}
}

// serve does a call and what waits behind it: what sources hand over at the same
// time is published once.
func (f *Follower) serve(call func()) {
	for n := 0; ; n++ {
		call()
		if n < maxCalls {
			select {
			case call = <-f.calls:
				continue
			default:
			}
		}
		break
	}
	f.publish()
}

// receive reads as fast as it can, so that the buffer in the kernel is empty. The
// kernel tells once that it has run over, and drops more without a word until it
// is empty.
func (f *Follower) receive(ended chan<- struct{}) {
	defer close(ended)
	overrun := false
	for {
		events, err := f.watcher.Receive()
		overrun = overrun || errors.Is(err, kernel.ErrOverrun)
		drained := overrun && !f.watcher.Pending()
		overrun = overrun && !drained
		select {
		case f.arrived <- arrival{events, err, drained}:
		case <-f.done:
			return
		}
		if err != nil && !errors.Is(err, kernel.ErrOverrun) {
			select {
			case <-time.After(syncDelay): // whatever it is, it is not to keep a core busy
			case <-f.done:
				return
			}
		}
	}
}

// takeAll works off an arrival and what has come behind it.
func (f *Follower) takeAll(a arrival) {
	for n := 0; ; {
		f.accept(a, func(e kernel.Event) { f.take(e) })
		if n += len(a.events); n >= batch {
			break
		}
		select {
		case a = <-f.arrived:
			continue
		default:
		}
		break
	}
	f.publish()
}

func (f *Follower) accept(a arrival, each func(kernel.Event)) {
	f.counts.Changes += uint64(len(a.events))
	for _, e := range a.events {
		each(e)
	}
	switch {
	case errors.Is(a.err, kernel.ErrOverrun):
		f.counts.Overruns++
		if !f.waiting { // it may be told of each of thousands of changes
			f.config.Log.Warn("changes were lost: reading all again", "error", a.err)
		}
		f.request("changes were lost: the receive buffer ran over")
	case a.err != nil:
		f.config.Log.Error("receive changes: reading all again", "error", a.err)
		f.request("changes cannot be read: " + a.err.Error())
	}
	if a.drained { // what is being read may be older than what was dropped last
		f.request("changes were lost: the receive buffer ran over")
	}
}

// publish ends a set of changes.
func (f *Follower) publish() {
	// gofail: var followerPublish struct{}
	generation := f.rib.Publish()
	if why := f.rib.TakeStale(); why != "" {
		f.request(string(why))
	}
	if f.rib.IsBehind() {
		select {
		case f.more <- struct{}{}:
		default:
		}
	}
	if f.counts.Syncs == 0 {
		return
	}
	acks := f.acks
	f.acks = nil
	for _, ack := range acks {
		ack(generation)
	}
}

// request makes a synchronization happen soon.
func (f *Follower) request(why string) {
	if !f.waiting {
		f.waiting, f.next = true, Rereading{Why: why, Since: time.Now()}
		f.config.Log.Debug("all of the kernel's tables are to be read again", "why", why)
		f.timer.Reset(max(syncDelay, (syncShare-1)*f.lastTook-time.Since(f.lastSync)))
	}
}

// take applies one change.
func (f *Follower) take(e kernel.Event) {
	if f.config.Observe != nil {
		f.config.Observe(f.rib, e)
	}
	switch e.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		f.takeLink(e.Payload, e.Type == unix.RTM_NEWLINK)
		f.tellInterfaces()
	case unix.RTM_NEWNETCONF:
		f.takeNetconf(e.Payload, true)
		f.tellInterfaces()
	case unix.RTM_DELNETCONF: // of a link that gets another name, for a moment only
		f.takeNetconf(e.Payload, false)
		f.settle.Reset(syncDelay)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		f.takeRule(e.Payload)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		f.takeAddr(e.Payload, e.Type == unix.RTM_NEWADDR)
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		f.takeNeighbor(e.Payload, e.Type == unix.RTM_NEWNEIGH)
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		f.takeNextHop(e.Payload, e.Type == unix.RTM_NEWNEXTHOP)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		f.takeRoute(e)
	}
}

// decoded counts what is not usable.
func (f *Follower) decoded(err error) bool {
	if err != nil && !errors.Is(err, kernel.ErrForeign) {
		f.counts.Undecodable++
		f.config.Log.Warn("message of the kernel is not usable", "error", err)
	}
	return err == nil
}

func (f *Follower) takeAddr(payload []byte, there bool) {
	var a kernel.Addr
	switch {
	case !f.decoded(a.Decode(payload)):
	case there:
		f.rib.SetAddr(a)
	default:
		f.rib.DeleteAddr(a)
	}
}

func (f *Follower) takeNeighbor(payload []byte, there bool) {
	var n kernel.Neighbor
	switch {
	case !f.decoded(n.Decode(payload)):
	case there:
		f.rib.SetNeighbor(n)
	default:
		f.rib.DeleteNeighbor(n)
	}
}

func (f *Follower) takeNextHop(payload []byte, there bool) {
	var n kernel.NextHop
	switch {
	case !f.decoded(n.Decode(payload)):
	case there:
		f.rib.SetNextHop(n)
	default:
		f.rib.DeleteNextHop(n.ID)
	}
}

func (f *Follower) takeRoute(e kernel.Event) {
	how := rib.Add
	switch {
	case e.Flags&unix.NLM_F_REPLACE != 0:
		how = rib.Replace
	case e.Flags&unix.NLM_F_APPEND != 0:
		how = rib.Append
	}
	if !f.decoded(f.route.Decode(e.Payload)) {
		return
	}
	if k, ok := f.rib.RouteKey(&f.route); ok {
		if _, watched := f.watched[k]; watched {
			f.watched[k] = true
		}
	}
	if e.Type == unix.RTM_NEWROUTE {
		f.rib.SetRoute(&f.route, how)
	} else {
		f.rib.DeleteRoute(&f.route)
	}
}

// refresh tells the kernel which neighbors are in use.
func (f *Follower) refresh() {
	type neighbor struct {
		link int
		addr netip.Addr
	}
	var idle []neighbor
	f.rib.Idle(f.config.IsUsed, func(link int, addr netip.Addr) { idle = append(idle, neighbor{link, addr}) })
	// gofail: var followerRefresh struct{}
	for _, n := range idle {
		if err := f.conn.UseNeighbor(n.link, n.addr); err != nil {
			f.config.Log.Debug("keep neighbor fresh", "error", err) // it has gone: the kernel will tell
		}
	}
}
