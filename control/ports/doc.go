// Package ports decides which interfaces are ports of a router, and makes an
// engine follow: a port appears, changes and goes with its interface.
//
// A port is an Ethernet interface that forwards IPv4 or IPv6, that the operator
// has not left out, and that is not a member of a bridge or a bond. Hardware,
// veths, taps and VLANs of ports are taken by default; other kinds (bridges,
// bonds, tunnels) when they are named. What the engine cannot take stays with
// Linux, is reported (Refused), and tried again.
//
// Each port has the engine that it is to have: by the first rule that matches its name
// (SetRules), else one for all, or for those that are named. A VLAN's is that of the port
// at its root. Rules may change at any time: ports go from one engine to the other without
// loss, all that the change is about or none.
//
// A VLAN is a port on another one: it comes after that and goes before it.
package ports
