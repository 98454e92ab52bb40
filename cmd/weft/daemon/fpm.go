package daemon

import (
	"context"
	"net/netip"
	"time"

	"weft/control/api"
	"weft/control/config"
	"weft/control/fpm"
)

// FPM says whether, and how, FRR is served.
type FPM struct {
	Address     netip.AddrPort // invalid: as the configuration says
	Hold        time.Duration  // of routes after zebra has gone; 0: config.DefaultHold
	Acknowledge bool           // tell FRR which routes packets find
}

// fpmServer takes routes from FRR, from when packets are forwarded on.
type fpmServer struct {
	*fpm.Server
	fixed  bool           // by the command line: the configuration changes nothing
	at     netip.AddrPort // where it listens; invalid: nowhere
	served chan struct{}  // closed when it has ended; nil: it has not begun
}

// openFPM listens where the command line says so, so that a daemon that cannot does
// not start.
func (r *router) openFPM() error {
	o := r.options.FPM
	if o.Hold == 0 {
		o.Hold = config.DefaultHold
	}
	r.fpm.Server = fpm.New(fpm.Config{
		Sink: fpm.Into(r.follower), Hold: o.Hold, Acknowledge: o.Acknowledge, Log: r.log,
		Changed: func(text string) { r.server.Note(api.EventSync, text) },
	})
	if !o.Address.IsValid() {
		return nil
	}
	r.fpm.fixed = true
	l, err := r.listenFPM(o.Address)
	if err == nil {
		r.fpm.Use(l)
	}
	return err
}

func (r *router) listenFPM(at netip.AddrPort) (*fpm.Listener, error) {
	if !at.Addr().IsLoopback() {
		r.log.Warn("whoever reaches this address decides where packets go: the protocol of FRR knows no passwords", "fpm", at)
	}
	return fpm.Listen(at)
}

// configured makes a configuration work: its routes, BGP, and the server for FRR.
type configured struct{ *router }

// Replace implements config.Sink. What can fail of the server for FRR is done first:
// to listen.
func (r configured) Replace(ctx context.Context, c *config.Config) error {
	at := c.FPM.Listen
	if r.fpm.fixed || at == r.fpm.at {
		at = netip.AddrPort{}
	}
	var l *fpm.Listener
	var err error
	if at.IsValid() {
		if l, err = r.listenFPM(at); err != nil {
			return err
		}
	}
	if err := r.replaceRoutes(ctx, c); err != nil {
		if l != nil {
			l.Close()
		}
		return err
	}
	r.serveFPM(c.FPM, l)
	return nil
}

// serveFPM makes the server do what a configuration says. l is nil if it goes on
// listening where it does.
func (r *router) serveFPM(c config.FPM, l *fpm.Listener) {
	if r.fpm.fixed {
		return
	}
	if c.Hold > 0 {
		r.fpm.SetHold(c.Hold)
	}
	if c.Listen != r.fpm.at {
		r.fpm.Use(l)
		r.fpm.at = c.Listen
	}
}

// startFPM serves FRR until ctx ends: an acknowledged route is one that packets
// find, so not before the ports forward.
func (r *router) startFPM(ctx context.Context) {
	r.fpm.served = make(chan struct{})
	go func() {
		defer close(r.fpm.served)
		if err := r.fpm.Serve(ctx); err != nil && ctx.Err() == nil {
			r.log.Error("routes of FRR are not taken any more: 'weft run' again", "error", err)
		}
	}()
}

// endFPM waits until it has ended, after its context.
func (r *router) endFPM() {
	if r.fpm.served != nil {
		<-r.fpm.served
	}
}

func (r *router) describeFPM() *api.FPM {
	st := r.fpm.Status()
	if !st.Address.IsValid() {
		return nil
	}
	return api.DescribeFPM(st.Address, st)
}
