package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/server"

	"weft/test/star"
)

// receiver in the environment makes this program GoBGP alone, as a neighbor of the feeder.
const receiver = "WEFT_BGP_RECEIVER"

func TestMain(m *testing.M) {
	if os.Getenv(receiver) != "" {
		if err := receive(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	star.Main(m)
}

// receive takes what it is told, as weft does without a RIB, and says how much it has.
func receive() error {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := gobgp.NewBgpServer(gobgp.LoggerOption(log, new(slog.LevelVar)))
	go s.Serve()
	ctx := context.Background()
	if err := s.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{Asn: 65001, RouterId: "10.2.0.1", ListenPort: 179}}); err != nil {
		return err
	}
	families := map[string]*api.Family{
		"10.2.0.2":      {Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST},
		"2001:db8:2::2": {Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST},
	}
	for address, family := range families {
		err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
			Conf:            &api.PeerConf{NeighborAddress: address, PeerAsn: 65002},
			Transport:       &api.Transport{PassiveMode: true},
			GracefulRestart: &api.GracefulRestart{Enabled: true, RestartTime: 120}, // for the End-of-RIB
			AfiSafis: []*api.AfiSafi{{
				Config:            &api.AfiSafiConfig{Family: family, Enabled: true},
				MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}},
			}},
		}})
		if err != nil {
			return err
		}
	}
	ends := make(chan struct{}, len(families))
	err := s.WatchEvent(ctx, gobgp.WatchEventMessageCallbacks{
		OnPathEor: func(*apiutil.Path, time.Time) { ends <- struct{}{} },
	}, gobgp.WatchEor(false))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for range families {
		<-ends
	}
	for ; ; time.Sleep(glance) { // to count takes GoBGP's time: not before the ends
		var has uint64
		err := s.ListPeer(ctx, &api.ListPeerRequest{}, func(p *api.Peer) {
			for _, f := range p.AfiSafis {
				has += f.State.GetAccepted()
			}
		})
		if err != nil {
			return err
		}
		fmt.Println("has", has)
	}
}

// peer takes the table from the feeder in h2. It runs in the router.
type peer struct {
	*star.Network
	pid  func() int
	has  func() int // prefixes, as far as they count
	stop func()
}

// gobgpAlone is GoBGP as a library in a program that does nothing with what it receives.
func gobgpAlone(n *star.Network) *peer {
	n.Helper()
	program, err := os.Executable()
	if err != nil {
		n.Fatal(err)
	}
	p, err := n.Lab.Start("r1", "env", receiver+"=1", program)
	if err != nil {
		n.Fatal(err)
	}
	said := func() string {
		text, err := os.ReadFile(p.Log)
		if err != nil {
			n.Fatal(err)
		}
		return string(text)
	}
	before := len(said())
	n.Until("GoBGP is ready", func() bool { return strings.Contains(said(), "ready\n") })
	return &peer{
		Network: n,
		pid:     func() int { return p.Pid },
		has: func() (has int) {
			lines := strings.Split(strings.TrimSpace(said()[before:]), "\n")
			_, _ = fmt.Sscanf(lines[len(lines)-1], "has %d", &has)
			return has
		},
		stop: func() {
			if err := p.Signal(9); err != nil {
				n.Fatal(err)
			}
			<-p.Done
			if err := os.Truncate(p.Log, 0); err != nil {
				n.Fatal(err)
			}
		},
	}
}
