package peer

import "errors"

// variant is what makes networks of one table different.
type variant struct {
	bare  bool // the router's kernel has no routes, and forwards nothing
	width int  // of ECMP: each route has so many next hops; 0: one
}

// Of returns the network in which a system forwards: n, or one like it, made once. Systems that the kernel gives packets to and that
// it has, too (AF_PACKET), and those that leave ports down (testpmd), have one in which the kernel forwards nothing; ECMP has one with
// other routes.
func (n *Network) Of(system string) (*Network, error) {
	s, _ := Find(system)
	if s.variant == (variant{}) || s.variant == n.options.variant() {
		return n, nil
	}
	if v := n.variants[s.variant]; v != nil {
		return v, nil
	}
	o := n.options
	o.bare, o.Width = s.bare, s.width
	v, err := New(n.context, o)
	if err == nil {
		n.variants[s.variant] = v
	}
	return v, err
}

func (o *Options) variant() variant { return variant{o.bare, o.Width} }

// suits asserts that a system is attached where it may be.
func (n *Network) suits(s *System) error {
	if s.bare == n.options.bare && (s.width == 0 || s.width == n.options.Width) {
		return nil
	}
	return errors.New("it is not in a network of its own kind: see Of")
}
