package fpm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// DefaultHold is how long routes of a zebra that has gone stay.
const DefaultHold = 120 * time.Second

// Config says what a Server does. Sink is needed.
type Config struct {
	Sink        Sink
	Hold        time.Duration // 0: DefaultHold
	Acknowledge bool          // send RTM_F_OFFLOAD and RTM_F_OFFLOAD_FAILED back
	Changed     func(text string)
	Log         *slog.Logger // nil: none
}

// Server takes routes from one zebra at a time.
type Server struct {
	config Config
	inbox  inbox
	clock  func(time.Duration) <-chan time.Time // of a test

	aged      chan struct{}    // a connection began or ended
	timer     <-chan time.Time // of the hold time. What follows is of the goroutine that applies
	retry     <-chan time.Time // until homeless routes are told again
	ending    bool             // the last part of the hold time goes on
	refreshed int              // routes that were stale and have been told again since the timer started
	peers     sync.WaitGroup

	mu     sync.Mutex // of what follows
	table  table      // changed by the goroutine that applies only, except for its generation
	peer   *peer      // nil: none
	counts Counts
}

// peer is a zebra that is connected.
type peer struct {
	conn       net.Conn
	addr       netip.AddrPort
	since      time.Time
	generation uint32
	ended      chan struct{}

	ackable chan struct{} // of one: there are acks
	ackMu   sync.Mutex
	acks    queue[key, ack]
}

// New makes a server.
func New(config Config) *Server {
	if config.Hold == 0 {
		config.Hold = DefaultHold
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Changed == nil {
		config.Changed = func(string) {}
	}
	return &Server{
		config: config, table: newTable(), aged: make(chan struct{}, 1), inbox: inbox{filled: make(chan struct{}, 1)},
	}
}

// Serve takes connections until ctx ends, and closes the listener. What the Sink
// has stays.
//
// Errors: those of the Sink and of the listener.
func (s *Server) Serve(ctx context.Context, l *Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	applied := make(chan error, 1)
	go func() {
		applied <- s.apply(ctx)
		cancel()
	}()
	context.AfterFunc(ctx, func() {
		l.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.peer != nil {
			s.peer.conn.Close()
		}
	})
	err := s.accept(ctx, l)
	cancel()
	s.peers.Wait()
	return errors.Join(err, <-applied)
}

// acceptDelay keeps a listener that only fails (no more files) from keeping a core
// busy.
const acceptDelay = 100 * time.Millisecond

func (s *Server) accept(ctx context.Context, l *Listener) error {
	for {
		conn, err := l.tcp.AcceptTCP()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept FPM connections: %w", err)
		case err != nil:
			s.config.Log.Warn("accept FPM connection", "error", err)
			time.Sleep(acceptDelay)
			continue
		}
		if err := s.welcome(ctx, l, conn); err != nil {
			s.config.Log.Warn("FPM connection refused", "peer", conn.RemoteAddr(), "error", err)
			s.count(func(c *Counts) { c.Refused++ })
			conn.Close()
		}
	}
}

// Errors with which a connection is refused.
var (
	ErrBusy    = errors.New("another peer is connected")
	ErrForeign = errors.New("not a process of root or of frr")
)

// welcome begins to read from a peer, if it may.
func (s *Server) welcome(ctx context.Context, l *Listener, conn *net.TCPConn) error {
	p := &peer{
		conn: conn, addr: addrPort(conn.RemoteAddr()), since: time.Now(), ended: make(chan struct{}), ackable: make(chan struct{}, 1),
	}
	if err := l.permit(p.addr, addrPort(conn.LocalAddr())); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer != nil {
		return fmt.Errorf("%w: %s", ErrBusy, s.peer.addr)
	}
	p.generation = s.table.generation
	s.peer = p
	s.counts.Connections++
	s.restartHold()
	s.peers.Add(1)
	go func() {
		defer s.peers.Done()
		s.serve(p)
	}()
	if ctx.Err() != nil {
		conn.Close() // nobody else does
	}
	return nil
}

// restartHold lets stale routes stay for another hold time. The caller holds mu.
func (s *Server) restartHold() {
	if s.table.stale > 0 || len(s.table.routes) > 0 || s.table.known > 0 {
		signal(s.aged)
	}
}

// serve reads from a peer until it has gone.
func (s *Server) serve(p *peer) {
	s.config.Log.Info("FRR is connected", "peer", p.addr)
	s.config.Changed(fmt.Sprintf("fpm: %s connected", p.addr))
	answered := make(chan struct{})
	go func() {
		s.answer(p)
		close(answered)
	}()
	err := s.read(p)
	p.conn.Close()
	close(p.ended)
	<-answered
	s.mu.Lock()
	if errors.Is(err, ErrFrame) {
		s.counts.BadFrames++
	}
	s.table.age()
	s.peer = nil
	s.restartHold()
	s.mu.Unlock()
	s.config.Log.Warn("FRR has gone: its routes stay for the hold time", "peer", p.addr, "hold", s.config.Hold, "error", err)
	s.config.Changed(fmt.Sprintf("fpm: %s has gone: %v", p.addr, err))
}

// read takes frames until there are no more.
func (s *Server) read(p *peer) error {
	in := reader{from: bufio.NewReaderSize(p.conn, 2*maxFrame)}
	d := decoder{log: s.config.Log.With("peer", p.addr), generation: p.generation}
	for {
		messages, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("it closed the connection")
		case err != nil:
			return err
		}
		s.inbox.add(func() {
			for _, m := range messages {
				d.take(&s.inbox, m)
			}
		})
		s.count(func(c *Counts) { c.take(&d.counts) })
	}
}

func (s *Server) count(fn func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.counts)
}

func addrPort(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
