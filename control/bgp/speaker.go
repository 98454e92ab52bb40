package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	gobgp "github.com/osrg/gobgp/v4/pkg/server"

	"weft/control/config"
)

// speaker is one life of GoBGP.
type speaker struct {
	server     *Server
	bgp        *gobgp.BgpServer
	log        *slog.Logger
	cancel     context.CancelFunc // of all that belongs to it
	ended      sync.WaitGroup
	config     Config
	id         netip.Addr
	multipath  bool                  // several paths of a prefix are used together
	restarting bool                  // it follows a daemon that neighbors knew
	policies   bool                  // GoBGP has some
	program    *program              // those
	ways       map[string]around     // to numbered neighbors
	via        map[string]netip.Addr // our IPv6 addresses towards numbered neighbors
	originator *originator
	finder     *finder
	census     census
	hops       hops

	mu       sync.Mutex
	sessions map[string]*session // by the neighbor's name
}

// families are what weft routes.
var families = map[config.Family]bgp.Family{config.IPv4Unicast: bgp.RF_IPv4_UC, config.IPv6Unicast: bgp.RF_IPv6_UC}

// newSpeaker starts GoBGP without neighbors.
func newSpeaker(s *Server, id netip.Addr) (*speaker, error) {
	log := newLogger(s.log)
	ctx, cancel := context.WithCancel(context.Background())
	sp := &speaker{
		server: s, bgp: gobgp.NewBgpServer(gobgp.LoggerOption(log, new(slog.LevelVar))), log: s.log, cancel: cancel, config: *s.config, id: id,
		multipath:  s.config.MaximumPaths > 1,
		restarting: s.sync.begin(s.options.Restarted), sessions: map[string]*session{},
	}
	sp.config.Neighbors = nil
	sp.census = newCensus()
	sp.originator = newOriginator(sp)
	sp.finder = newFinder(sp)
	go sp.bgp.Serve()
	err := sp.bgp.StartBgp(ctx, &api.StartBgpRequest{Global: global(s.config, id)})
	if err == nil {
		s.feed.listen(sp)
		err = sp.watch(ctx)
	}
	if err != nil {
		sp.stop()
		return nil, explain(s.config, err)
	}
	sp.ended.Go(func() { sp.originator.run(ctx) })
	sp.ended.Go(func() { sp.watchLimits(ctx) })
	return sp, nil
}

func global(c *Config, id netip.Addr) *api.Global {
	g := &api.Global{Asn: c.AS, RouterId: id.String(), ListenPort: int32(c.ListenPort), UseMultiplePaths: c.MaximumPaths > 1}
	if c.ListenPort == 0 {
		g.ListenPort = -1
	}
	for _, a := range c.ListenAddresses {
		g.ListenAddresses = append(g.ListenAddresses, a.String())
	}
	return g
}

// explain says what to do when GoBGP does not start.
func explain(c *Config, err error) error {
	remedy := ""
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			remedy = fmt.Sprintf(": another router listens there: 'ss -tlnp sport = %d' names it; stop it, or change bgp.listen_port", c.ListenPort)
		case errors.Is(err, syscall.EACCES):
			remedy = ": ports below 1024 need CAP_NET_BIND_SERVICE"
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			remedy = ": bgp.listen_addresses must be addresses of this machine"
		}
	}
	return fmt.Errorf("%w: %w%s", ErrConfig, err, remedy)
}

// watch makes GoBGP tell what it chooses, and what becomes of sessions.
func (sp *speaker) watch(ctx context.Context) error {
	return sp.bgp.WatchEvent(ctx, gobgp.WatchEventMessageCallbacks{
		OnBestPath: func(paths []*apiutil.Path, _ time.Time) { sp.server.feed.take(sp, paths) },
		OnPathEor:  func(p *apiutil.Path, _ time.Time) { sp.endOfRIB(p.PeerAddress, p.Family) },
		OnPeerUpdate: func(e *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
			if e.Type == apiutil.PEER_EVENT_STATE || e.Type == apiutil.PEER_EVENT_INIT {
				sp.peerChanged(&e.Peer, at)
			}
		},
	}, gobgp.WatchBestPath(false), gobgp.WatchPeer(), gobgp.WatchEor(false))
}

// stop ends GoBGP; neighbors are told. What it had chosen stays in the RIB.
func (sp *speaker) stop() {
	sp.finder.stop()
	sp.cancel()
	sp.ended.Wait()
	sp.bgp.Stop()
}

// refeed gives the RIB all again that is chosen.
func (sp *speaker) refeed() error {
	for _, family := range families {
		if err := sp.bgp.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family}, func(_ bgp.NLRI, paths []*apiutil.Path) {
			for i, p := range paths {
				if !p.Best || !sp.multipath && i > 0 {
					break
				}
				sp.server.feed.take(sp, paths[i:i+1])
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// configure brings sessions, policies and what is advertised to a configuration.
func (sp *speaker) configure(ctx context.Context, c *Config) error {
	old := sp.config
	sp.mu.Lock()
	sp.config = *c
	sp.mu.Unlock()
	defer sp.census.forget()
	if err := sp.remove(ctx, c); err != nil {
		return err
	}
	sp.finder.configure(c)
	if _, err := sp.followNumbered(ctx); err != nil {
		return err
	}
	if err := sp.setPolicies(ctx, &old); err != nil {
		return err
	}
	// Before neighbors, for after a restart they take what they are sent first for all there is.
	if err := sp.originator.configure(ctx, c); err != nil {
		return err
	}
	for i := range c.Neighbors {
		if err := sp.put(ctx, &c.Neighbors[i]); err != nil {
			return fmt.Errorf("%w: neighbor %s: %w", ErrConfig, c.Neighbors[i].Name(), err)
		}
	}
	sp.server.sync.expect(sp, c)
	return nil
}

// followLinks does what changes of links make necessary.
func (sp *speaker) followLinks(ctx context.Context) error {
	changed, err := sp.followNumbered(ctx)
	if err == nil && changed {
		err = sp.setPolicies(ctx, &sp.config)
	}
	return errors.Join(err, sp.finder.follow(ctx))
}
