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

// Config says what a Server does. Sink is needed.
type Config struct {
	Sink        Sink
	Hold        time.Duration // how long routes of a zebra that has gone stay
	Acknowledge bool          // send RTM_F_OFFLOAD and RTM_F_OFFLOAD_FAILED back
	Changed     func(text string)
	Log         *slog.Logger // nil: none
}

// Server takes routes from one zebra at a time.
type Server struct {
	config Config
	inbox  inbox
	clock  func(time.Duration) <-chan time.Time // of a test

	aged      chan struct{}    // a connection began or ended, or the hold time is another one
	unused    chan struct{}    // there is no listener any more
	timer     <-chan time.Time // of the hold time. What follows is of the goroutine that applies
	retry     <-chan time.Time // until homeless routes are told again
	ending    bool             // the last part of the hold time goes on
	refreshed int              // routes that were stale and have been told again since the timer started
	tasks     sync.WaitGroup   // those who accept and read

	mu       sync.Mutex // of what follows
	table    table      // changed by the goroutine that applies only, except for its generation
	listener *Listener  // nil: none
	peer     *peer      // nil: none
	hold     time.Duration
	serving  bool
	counts   Counts
}

// peer is a zebra that is connected.
type peer struct {
	conn       net.Conn
	addr       netip.AddrPort
	since      time.Time
	generation uint32
	ended      chan struct{} // nobody reads any more
	gone       chan struct{} // and the Server has no peer any more

	ackable chan struct{} // of one: there are acks
	ackMu   sync.Mutex
	acks    acks
}

// New makes a server.
func New(config Config) *Server {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Changed == nil {
		config.Changed = func(string) {}
	}
	return &Server{
		config: config, hold: config.Hold, table: newTable(), inbox: inbox{filled: make(chan struct{}, 1)},
		aged: make(chan struct{}, 1), unused: make(chan struct{}, 1),
	}
}

// Use takes connections from a listener, which is the Server's now, instead of the
// one before it; from nobody with nil. The peer's connection ends. Its routes stay
// for the hold time, as it comes again elsewhere; with nil they go at once.
func (s *Server) Use(l *Listener) {
	s.use(l)
	if l == nil {
		signal(s.unused)
	}
}

func (s *Server) use(l *Listener) {
	s.mu.Lock()
	old, p := s.listener, s.peer
	s.listener = l
	s.acceptLocked()
	s.mu.Unlock()
	if old != nil {
		old.Close()
	}
	if p != nil {
		p.conn.Close()
		<-p.gone
	}
}

// SetHold changes how long routes of a zebra that has gone stay: those of one that
// has gone already, too, from now on.
func (s *Server) SetHold(hold time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hold != hold {
		s.hold = hold
		s.restartHold()
	}
}

// Serve takes connections until ctx ends, and closes the listener. What the Sink
// has stays. It can be called once.
//
// Errors: those of the Sink.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	s.serving = true
	s.acceptLocked()
	s.mu.Unlock()
	err := s.apply(ctx)
	s.mu.Lock()
	s.serving = false
	s.mu.Unlock()
	s.use(nil)
	s.tasks.Wait()
	return err
}

func (s *Server) acceptLocked() {
	if l := s.listener; s.serving && l != nil {
		s.tasks.Go(func() { s.accept(l) })
	}
}

// acceptDelay keeps a listener that only fails (no more files) from keeping a core
// busy.
const acceptDelay = 100 * time.Millisecond

// accept takes connections until the listener is closed.
func (s *Server) accept(l *Listener) {
	for {
		conn, err := l.tcp.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.config.Log.Warn("accept FPM connection", "error", err)
			time.Sleep(acceptDelay)
			continue
		}
		if err := s.welcome(l, conn); err != nil {
			s.config.Log.Warn("FPM connection refused", "peer", conn.RemoteAddr(), "error", err)
			s.count(func(c *Counts) { c.Refused++ })
			conn.Close()
		}
	}
}

// Errors with which a connection is refused.
var (
	ErrClosed  = errors.New("nobody listens here any more")
	ErrBusy    = errors.New("another peer is connected")
	ErrForeign = errors.New("not a process of root or of frr")
)

// welcome begins to read from a peer, if it may.
func (s *Server) welcome(l *Listener, conn *net.TCPConn) error {
	p := &peer{
		conn: conn, addr: addrPort(conn.RemoteAddr()), since: time.Now(), ended: make(chan struct{}), gone: make(chan struct{}),
		ackable: make(chan struct{}, 1),
	}
	if err := l.permit(p.addr, addrPort(conn.LocalAddr())); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.listener != l:
		return ErrClosed
	case s.peer != nil:
		return fmt.Errorf("%w: %s", ErrBusy, s.peer.addr)
	}
	p.generation = s.table.generation
	s.peer = p
	s.counts.Connections++
	s.restartHold()
	s.tasks.Go(func() { s.serve(p) })
	return nil
}

// restartHold lets stale routes stay for another hold time. The caller holds mu.
func (s *Server) restartHold() {
	if s.table.stale > 0 || s.table.count > 0 || s.table.known > 0 {
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
	hold := s.hold
	s.mu.Unlock()
	close(p.gone)
	s.config.Log.Warn("FRR has gone: its routes stay for the hold time", "peer", p.addr, "hold", hold, "error", err)
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
			s.inbox.counts.take(&d.counts)
		})
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
