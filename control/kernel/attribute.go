package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

var (
	// ErrMessage: the message is not well-formed, or says what no router can do.
	ErrMessage = errors.New("not a usable message")
	// ErrForeign: the message is well-formed, and about something else.
	ErrForeign = errors.New("not about routing")
)

// attributes walks over netlink attributes (struct nlattr, struct rtattr).
//
//	for a := newAttributes(b); a.next(); {
//		switch a.kind { ... a.value ... }
//	}
//
// A walk that ended early has a.err set.
type attributes struct {
	rest  []byte
	kind  uint16 // without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER
	value []byte
	err   error
}

const (
	attributeHeader   = 4
	attributeKindMask = 0x3fff // NLA_TYPE_MASK
)

func newAttributes(b []byte) attributes { return attributes{rest: b} }

func (a *attributes) next() bool {
	if len(a.rest) == 0 || a.err != nil {
		return false
	}
	if len(a.rest) < attributeHeader {
		a.err = fmt.Errorf("%w: %d bytes where an attribute should be", ErrMessage, len(a.rest))
		return false
	}
	n := int(binary.NativeEndian.Uint16(a.rest))
	if n < attributeHeader || n > len(a.rest) {
		a.err = fmt.Errorf("%w: attribute of %d bytes in %d", ErrMessage, n, len(a.rest))
		return false
	}
	a.kind = binary.NativeEndian.Uint16(a.rest[2:]) & attributeKindMask
	a.value = a.rest[attributeHeader:n]
	a.rest = a.rest[min((n+3)&^3, len(a.rest)):]
	return true
}

// number returns the value of an attribute of 32 bits.
func (a *attributes) number() uint32 {
	if len(a.value) < 4 {
		a.fail("a number")
		return 0
	}
	return binary.NativeEndian.Uint32(a.value)
}

// index returns the value of an attribute that numbers a link.
func (a *attributes) index() int {
	n := int32(a.number())
	if n < 0 {
		a.fail("the number of a link")
		return 0
	}
	return int(n)
}

// addr returns the value of an attribute that is an address of a family.
func (a *attributes) addr(family uint8) netip.Addr {
	switch {
	case family == unix.AF_INET && len(a.value) == 4:
		return netip.AddrFrom4([4]byte(a.value))
	case family == unix.AF_INET6 && len(a.value) == 16:
		return netip.AddrFrom16([16]byte(a.value))
	}
	a.fail("an address")
	return netip.Addr{}
}

func (a *attributes) fail(want string) {
	if a.err == nil {
		a.err = fmt.Errorf("%w: attribute %d of %d bytes is not %s", ErrMessage, a.kind, len(a.value), want)
	}
}

// text returns the value up to the zero byte that ends it.
func (a *attributes) text() string {
	for i, c := range a.value {
		if c == 0 {
			return string(a.value[:i])
		}
	}
	return string(a.value)
}

// bitsOf returns the length of the addresses of a family, 0 for another one.
func bitsOf(family uint8) int {
	switch family {
	case unix.AF_INET:
		return 32
	case unix.AF_INET6:
		return 128
	}
	return 0
}

func short(what string, b []byte, want int) error {
	if len(b) < want {
		return fmt.Errorf("%w: %s of %d bytes, want at least %d", ErrMessage, what, len(b), want)
	}
	return nil
}
