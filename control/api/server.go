package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"weft/control"
	"weft/control/config"
	"weft/control/export"
	"weft/control/ports"
	"weft/control/rib"
	"weft/control/static"
	"weft/dataplane"
)

// Config is what a Server answers from. All of it is needed but where it says so.
type Config struct {
	Follower      *control.Follower
	Configuration *config.Store
	Ports         *ports.Set
	Engine        dataplane.Engine
	Identity      Identity
	Program       func() (*Program, error) // that forwards now
	Degraded      func() string            // why it is not the one that the ports need; "": it is
	FPM           func() *FPM              // nil: there is none
	Exporter      *export.Exporter         // nil: weft's own routes are not programmed into the kernel
	Static        *static.Source           // nil: there is none
	BGP           BGP                      // nil: there is none
	BGPConfig     func() *config.BGP       // in force; nil: not known
	Log           *slog.Logger             // nil: none
	Stop          func()                   // ends the daemon and gives the ports back; it does not wait
	Stopped       <-chan struct{}          // closed when that is done
}

// Identity says which daemon this is.
type Identity struct {
	Version string
	Netns   string // inode
	Pins    string
	Adopted bool
	Started time.Time
}

// Server answers clients. It is an implementation of RouterServer.
type Server struct {
	UnimplementedRouterServer
	config   Config
	grpc     *grpc.Server
	seen     *seen
	watchers watchers
	traces   traces
	verify   sync.Mutex // one at a time: each takes memory for a table
}

// NewServer makes a Server. The methods of Config.Follower's owner that it has
// for events are Observe and Note.
func NewServer(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, seen: newSeen(c.Engine)}
	s.serveGRPC()
	return s
}

func (s *Server) serveGRPC() {
	s.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(maxRequest), grpc.Creds(peers{insecure.NewCredentials()}),
		grpc.UnaryInterceptor(s.recoverUnary), grpc.StreamInterceptor(s.recoverStream))
	RegisterRouterServer(s.grpc, s)
}

// socketMode lets root and the socket's group ask, and stop.
const socketMode = 0o660

// Listen makes the socket: in place of one that nobody listens at any more. The
// caller has made sure that no other daemon runs (Lock).
func Listen(socket string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, fmt.Errorf("make directory of the socket: %w", err)
	}
	if c, err := net.Dial("unix", socket); err == nil {
		c.Close()
		return nil, fmt.Errorf("socket %s: %w: somebody answers there", socket, ErrInUse)
	}
	if err := RemoveSocket(socket); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	// gofail: var socketMade struct{}
	if err := os.Chmod(socket, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("protect socket: %w", err), l.Close())
	}
	return l, nil
}

// Serve answers until ctx ends. The socket goes with it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	go s.watchCounters(ctx)
	stop := context.AfterFunc(ctx, s.end)
	defer stop()
	if err := s.grpc.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// end lets answers that are under way reach their clients.
func (s *Server) end() {
	s.watchers.close()
	s.traces.close()
	hard := time.AfterFunc(lastAnswers, s.grpc.Stop)
	defer hard.Stop()
	s.grpc.GracefulStop()
}

// lastAnswers is how long answers may take when the daemon ends.
const lastAnswers = 2 * time.Second

// do calls fn with the RIB, which fn only reads. A panic of fn is one of the caller,
// not of the goroutine that owns the RIB.
func (s *Server) do(ctx context.Context, fn func(*rib.RIB)) error {
	var p *panicked
	err := s.config.Follower.Do(ctx, func(r *rib.RIB) {
		defer func() { p = caught(recover()) }()
		fn(r)
	})
	if p != nil {
		panic(p)
	}
	return ended(err)
}

// ended makes a status of the error of a Follower.
func ended(err error) error {
	if errors.Is(err, control.ErrStopped) {
		return status.Error(codes.Unavailable, "the daemon is ending")
	}
	return status.FromContextError(err).Err()
}

// invalid is the answer to a question that makes no sense.
func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// Stop implements RouterServer.
func (s *Server) Stop(ctx context.Context, _ *StopRequest) (*StopReply, error) {
	s.config.Stop()
	select {
	case <-s.config.Stopped:
		return &StopReply{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
