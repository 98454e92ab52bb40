package peer

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netns"

	"weft/dataplane"
	"weft/dataplane/soft"
	"weft/dataplane/xdp"
)

// softEngine is the userspace engine, on the image of weft's: with one loop, on the router's CPU, or on all.
type softEngine struct {
	*weft
	engine *soft.Engine
	netns  netns.NsHandle // the router's: loops enter it
}

func newSoft(n *Network) (engine, error) {
	w, err := n.once("weft_xdp", makeWeft)
	if err != nil {
		return nil, err
	}
	s := &softEngine{weft: w.(*weft)}
	o := soft.LoopOptions{Workers: 1}
	if n.options.Apart {
		o.CPUs = []int{n.options.RouterCPU}
	}
	err = n.InRouter(func() error {
		base, err := xdp.New(s.mem, xdp.Options{})
		if err != nil {
			return err
		}
		router, err := netns.Get()
		if err != nil {
			return errors.Join(err, base.Stop())
		}
		s.netns = router
		o.Thread = func() error { return netns.Set(router) }
		s.engine = soft.New(base, s.im, &s.readers, o)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("start the userspace engine: %w", err)
	}
	return s, nil
}

func (s *softEngine) attach() error {
	out, in := s.n.ports()
	out.Engine, in.Engine = dataplane.Soft, dataplane.Soft
	return errors.Join(s.engine.SetPort(out), s.engine.SetPort(in))
}

func (s *softEngine) detach() error {
	return errors.Join(s.engine.RemovePort(portIn), s.engine.RemovePort(portOut))
}

// unforwarded leaves out what did not come to the loop: it is no figure of another's.
func (s *softEngine) unforwarded() (n uint64, err error) {
	if err := s.engine.Check(); err != nil {
		return 0, err
	}
	return unforwarded(s.engine, dataplane.LoopOverrun), nil
}

func (s *softEngine) close() error { return errors.Join(s.engine.Stop(), s.netns.Close()) }
