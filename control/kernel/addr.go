package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Addr is an address of a link.
type Addr struct {
	Link   int
	Prefix netip.Prefix // not masked: the address and the length of its subnet
	Scope  uint8        // RT_SCOPE_*
}

// Decode reads the payload of RTM_NEWADDR or RTM_DELADDR.
//
// Errors: ErrMessage, ErrForeign.
func (d *Addr) Decode(b []byte) error {
	*d = Addr{}
	if err := short("address", b, unix.SizeofIfAddrmsg); err != nil {
		return err
	}
	// struct ifaddrmsg: family, prefix length, flags, scope, index
	family, bits := b[0], int(b[1])
	if bitsOf(family) == 0 {
		return fmt.Errorf("address: %w: of family %d", ErrForeign, family)
	}
	d.Scope = b[3]
	d.Link = int(int32(binary.NativeEndian.Uint32(b[4:])))
	var address, local netip.Addr
	a := newAttributes(b[unix.SizeofIfAddrmsg:])
	for a.next() {
		switch a.kind {
		case unix.IFA_ADDRESS:
			address = a.addr(family)
		case unix.IFA_LOCAL:
			local = a.addr(family)
		}
	}
	if local.IsValid() {
		address = local // IFA_ADDRESS is the other end then, or the same
	}
	d.Prefix = netip.PrefixFrom(address, bits)
	switch {
	case a.err != nil:
		return fmt.Errorf("address: %w", a.err)
	case !d.Prefix.IsValid() || d.Link <= 0:
		return fmt.Errorf("address: %w: %s with a length of %d on link %d", ErrMessage, address, bits, d.Link)
	}
	return nil
}
