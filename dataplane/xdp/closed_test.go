package xdp_test

import (
	"errors"
	"net/netip"
	"sync"
	"testing"

	"weft/dataplane/xdp"
	"weft/fib"
)

// asks calls all that answers about an engine, as the goroutines of an API do.
func asks(e *xdp.Engine) error {
	_ = e.Ports()
	_ = e.Counters(0)
	_ = e.Counters(portIn)
	_, err := e.ProgramInfo()
	_, runErr := e.Run(make([]byte, 64), portIn)
	_, runErr0 := e.Run(make([]byte, 64), 0)
	resolveErr := e.Resolve(portIn, []netip.Addr{netip.MustParseAddr("10.0.0.1")}, make([]fib.GroupID, 1), make([]bool, 1))
	for _, other := range []error{runErr, runErr0, resolveErr} {
		if errors.Is(other, xdp.ErrClosed) != errors.Is(err, xdp.ErrClosed) && err != nil {
			return errors.Join(errors.New("not all say that it is closed"), other)
		}
	}
	return err
}

func TestClosedEngine(t *testing.T) {
	for name, end := range map[string]func(*xdp.Engine) error{
		"Close": (*xdp.Engine).Close,
		"Stop":  (*xdp.Engine).Stop,
	} {
		r := newRouter(t, xdp.Options{})
		if err := asks(r.Engine); err != nil {
			t.Fatal(err)
		}
		if err := end(r.Engine); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := asks(r.Engine); !errors.Is(err, xdp.ErrClosed) {
			t.Errorf("%s: then %v", name, err)
		}
		if n := len(r.Ports()); n != 0 {
			t.Errorf("%s: %d ports", name, n)
		}
		if err := r.SetPort(port(portIn, r.port[portIn], 0, true)); !errors.Is(err, xdp.ErrClosed) {
			t.Errorf("%s: then SetPort: %v", name, err)
		}
		if err := r.RemovePort(portIn); !errors.Is(err, xdp.ErrNoPort) {
			t.Errorf("%s: then RemovePort: %v", name, err)
		}
		if err := r.Replace(r.image); !errors.Is(err, xdp.ErrClosed) {
			t.Errorf("%s: then Replace: %v", name, err)
		}
		if err := errors.Join(r.Check(), end(r.Engine), r.Close(), r.Stop()); err != nil {
			t.Errorf("%s: then once more: %v", name, err)
		}
	}
}

// Those who ask do not know of the end.
func TestEndWhileAsked(t *testing.T) {
	r := newRouter(t, xdp.Options{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for asks(r.Engine) == nil {
			}
		})
	}
	for range 20 {
		if err := r.Check(); err != nil {
			t.Error(err)
		}
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	asking.Wait()
}
