package model

import (
	"slices"

	"weft/dataplane"
)

// Difference is one way in which weft means not to do what Linux does.
type Difference struct {
	Name   string
	Clause string // that weft follows
	Why    string
	Is     func(frame []byte, o Outcome) bool // of an outcome that Differs
}

// Differences are all there are. What weft punts is not among them: Linux finishes
// it.
var Differences = []Difference{
	{
		Name: "padding", Clause: "IEEE 802.3 3.2.8; RFC 1812 5.2.2",
		Why: "weft takes padding off a frame down to the 60 bytes that the next one needs; Linux takes all, and its driver pads again",
		Is: func(_ []byte, o Outcome) bool {
			return o.Reason == dataplane.Forwarded && len(o.Frame) <= ethLeast && o.Linux.IsSent(o.Port, unpadded(o.Frame))
		},
	},
	{
		Name: "source in 0.0.0.0/8", Clause: "RFC 1812 5.3.7; RFC 1122 3.2.1.3 (a), (b)",
		Why: "weft drops it; Linux has taken 0.0.0.1 to 0.255.255.255 for addresses since 5.3, and takes 0.0.0.0 for a host that asks for one",
		Is:  reasonOf(dataplane.SIPIsUnspecified, typeIPv4),
	},
	{
		Name: "destination in 0.0.0.0/8", Clause: "RFC 1122 3.2.1.3 (a), (b)",
		Why: "as with sources", Is: reasonOf(dataplane.DIPIsUnspecified, typeIPv4),
	},
	{
		Name: "source ::", Clause: "RFC 4291 2.5.2",
		Why: "weft drops it; Linux checks that only of packets that leave by another port",
		Is:  reasonOf(dataplane.SIPIsUnspecified, typeIPv6),
	},
	{
		Name: "destination ::", Clause: "RFC 4291 2.5.2",
		Why: "weft drops it; Linux looks for a route", Is: reasonOf(dataplane.DIPIsUnspecified, typeIPv6),
	},
	{
		Name: "IPv4-mapped source", Clause: "RFC 4291 2.5.5.2; RFC 4942 2.2",
		Why: "weft drops it: such addresses are for use inside a node; Linux forwards it",
		Is:  reasonOf(dataplane.IPv6SIPIsIPv4Mapped, typeIPv6),
	},
	{
		Name: "IPv4-mapped destination", Clause: "RFC 4291 2.5.5.2; RFC 4942 2.2",
		Why: "as with sources", Is: reasonOf(dataplane.IPv6DIPIsIPv4Mapped, typeIPv6),
	},
	{
		Name: "own address as source", Clause: "RFC 1812 5.3.8; RFC 2827",
		Why: "weft does not validate sources, and forwards it; Linux drops it for IPv4, as it comes from another machine",
		Is: func(_ []byte, o Outcome) bool {
			return o.Reason == dataplane.Forwarded && o.Linux.Why == whyOwnSource
		},
	},
}

func reasonOf(r dataplane.Reason, etherType int) func([]byte, Outcome) bool {
	return func(frame []byte, o Outcome) bool { return o.Reason == r && be16(frame[12:]) == etherType }
}

// unpadded is a frame without what follows its packet.
func unpadded(f []byte) []byte {
	length := be16(f[ethLen+2:])
	if be16(f[12:]) == typeIPv6 {
		length = header6 + be16(f[ethLen+4:])
	}
	return f[:ethLen+length]
}

// IsSent tells whether Linux sends one frame, by this port or another of several that
// are alike.
func (l *Linux) IsSent(port string, frame []byte) bool {
	sent := Sent{[]string{port}, frame}
	return l.Is([]Sent{sent}) && l.Does != Undefined ||
		slices.ContainsFunc(l.Or, func(o Linux) bool { return o.IsSent(port, frame) })
}

// Differs tells whether weft forwards or drops what Linux would treat otherwise.
func (o *Outcome) Differs() bool {
	switch o.Reason.Verdict() {
	case dataplane.Forward:
		return !o.Linux.IsSent(o.Port, o.Frame)
	case dataplane.Drop:
		return o.Linux.Does != Discards
	}
	return false
}

// Explain finds the difference that an outcome which Differs is one of.
func Explain(frame []byte, o Outcome) (d Difference, ok bool) {
	i := slices.IndexFunc(Differences, func(d Difference) bool { return d.Is(frame, o) })
	if i < 0 {
		return Difference{}, false
	}
	return Differences[i], true
}
