package daemon

import (
	"context"
	"errors"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"weft/control/bgp"
	"weft/control/config"
)

// openBGP makes the BGP router, which the configuration tells what to do.
func (r *router) openBGP() {
	r.bgp = bgp.New(bgp.Options{RIB: r.follower, Restarted: r.adopted, Log: r.log})
}

// replaceRoutes gives ports, routes and BGP a configuration: all, or none and an error.
func (r *router) replaceRoutes(ctx context.Context, c *config.Config) error {
	if err := r.replaceEngines(ctx, c); err != nil {
		return err
	}
	if err := r.static.Replace(ctx, c); err != nil {
		return errors.Join(err, r.replaceEngines(context.WithoutCancel(ctx), r.inForce))
	}
	if err := r.bgp.Replace(ctx, c); err != nil {
		back := context.WithoutCancel(ctx)
		return errors.Join(err, r.static.Replace(back, r.inForce), r.replaceEngines(back, r.inForce))
	}
	r.inForce = c
	tuneGC(c)
	return nil
}

// settle withdraws what an earlier daemon has left in the kernel and nobody wants, once
// all sources are back: BGP when its neighbors have sent all they have.
func (r *router) settle(ctx context.Context) {
	select {
	case <-r.bgp.Synced():
		r.export.Settle()
		return
	default:
	}
	go func() {
		select {
		case <-r.bgp.Synced():
			r.export.Settle()
		case <-ctx.Done():
		}
	}()
}

// GoBGP makes much garbage while a table is loaded. To collect it as early as gcPercent asks for,
// or even 100, takes twice the time. So it may grow until all is a share of the machine's memory.
const (
	gcPercentBGP = 300
	memoryShare  = 4
	memoryLeast  = 2 << 30 // bytes: with less the Internet's table would be collected all the time
)

func tuneGC(c *config.Config) {
	if c.BGP == nil {
		debug.SetGCPercent(gcPercent)
		return
	}
	debug.SetGCPercent(gcPercentBGP)
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err == nil && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(max(memoryLeast, int64(machine.Totalram)*int64(machine.Unit)/memoryShare))
	}
}
