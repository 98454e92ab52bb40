package daemon

import (
	"context"
	"fmt"

	"weft/control/export"
)

// exporter programs weft's own routes into the kernel while the image is kept right.
type exporter struct {
	*export.Exporter
	ended  chan struct{} // closed when it has ended; nil: it has not begun
	cancel context.CancelFunc
}

func (r *router) openExport() (err error) {
	if r.export.Exporter, err = export.New(r.log); err != nil {
		return fmt.Errorf("program routes into the kernel: %w", err)
	}
	return nil
}

// start begins, after the first synchronization.
func (x *exporter) start(ctx context.Context, do export.Do) {
	ctx, x.cancel = context.WithCancel(ctx)
	x.ended = make(chan struct{})
	go func() {
		defer close(x.ended)
		x.Run(ctx, do)
	}()
}

// end waits until it has ended. What the kernel has stays.
func (x *exporter) end() {
	if x.ended != nil {
		x.cancel()
		<-x.ended
	}
}

// withdraw removes all that weft has programmed.
func (x *exporter) withdraw() error {
	if x.Exporter == nil {
		return nil
	}
	x.end()
	return x.Withdraw()
}

func (x *exporter) close() error {
	if x.Exporter == nil {
		return nil
	}
	x.end()
	return x.Close()
}
