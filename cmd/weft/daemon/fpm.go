package daemon

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"weft/control/api"
	"weft/control/fpm"
)

// FPM says whether, and how, FRR is served.
type FPM struct {
	Address     netip.AddrPort // invalid: it is not, unless the configuration says so
	Hold        time.Duration  // of routes after zebra has gone; 0: fpm.DefaultHold
	Acknowledge bool           // tell FRR which routes packets find
}

// fpmServer takes routes from FRR, from when packets are forwarded on.
type fpmServer struct {
	listener *fpm.Listener // nil: there is none
	server   *fpm.Server
	served   chan struct{}              // closed when it has ended; nil: it has not begun
	told     atomic.Pointer[fpm.Server] // server, for those who ask
}

// openFPM listens, so that a daemon that cannot does not start.
func (r *router) openFPM() (err error) {
	o := r.options.FPM
	if !o.Address.IsValid() {
		return nil
	}
	if r.fpm.listener, err = fpm.Listen(o.Address); err != nil {
		return err
	}
	if !o.Address.Addr().IsLoopback() {
		r.log.Warn("whoever reaches this address decides where packets go: the protocol of FRR knows no passwords", "fpm", o.Address)
	}
	r.fpm.server = fpm.New(fpm.Config{
		Sink: fpm.Into(r.follower), Hold: o.Hold, Acknowledge: o.Acknowledge, Log: r.log,
		Changed: func(text string) { r.server.Note(api.EventSync, text) },
	})
	r.fpm.told.Store(r.fpm.server)
	return nil
}

// startFPM serves FRR until ctx ends: an acknowledged route is one that packets
// find, so not before the ports forward.
func (r *router) startFPM(ctx context.Context) {
	if r.fpm.listener == nil {
		return
	}
	r.fpm.served = make(chan struct{})
	go func() {
		defer close(r.fpm.served)
		if err := r.fpm.server.Serve(ctx, r.fpm.listener); err != nil && ctx.Err() == nil {
			r.log.Error("routes of FRR are not taken any more: 'weft run' again", "error", err)
		}
	}()
}

// endFPM waits until it has ended, after its context.
func (r *router) endFPM() {
	switch {
	case r.fpm.served != nil:
		<-r.fpm.served
	case r.fpm.listener != nil:
		r.fpm.listener.Close()
	}
}

func (r *router) describeFPM() *api.FPM {
	server := r.fpm.told.Load()
	if server == nil {
		return nil
	}
	return api.DescribeFPM(r.fpm.listener.Addr(), server.Status())
}
