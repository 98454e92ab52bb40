package agreement

import (
	"testing"

	"weft/test/model"
)

// Divergences that campaigns have found, in the form in which they were saved.

// A recorded route has the address toward the first next hop by the port, not that
// toward the one that the packet takes.
func TestDivergence_recordRoute(t *testing.T) {
	wantAgreement(t, &model.State{
		Ports: []model.Port{
			{Name: "p1", MAC: hexMAC("02:00:00:00:00:11"), MTU: 1500, IPv4: true, IPv6: true, Addrs: prefixes("10.1.0.1/24")},
			{Name: "p2", MAC: hexMAC("02:00:00:00:00:12"), MTU: 1500, IPv4: true, IPv6: true, Addrs: prefixes("10.3.83.174/24", "10.3.105.77/29")},
		},
		Routes: []model.Route{
			{Prefix: prefixes("20.0.0.0/8")[0], Kind: "unicast", Hops: []model.Hop{
				{Gateway: address("10.3.105.75"), Port: "p2", Weight: 1}, {Gateway: address("10.3.83.6"), Port: "p2", Weight: 15},
			}},
		},
		Neighbors: []model.Neighbor{{Port: "p2", Addr: address("10.3.83.6"), MAC: hexMAC("02:00:00:00:00:99"), State: "permanent"}},
	}, "p1", "0200000000110200000000010800"+"4800003a8d8d000040119d7bc633666b14000001"+"070c040000ff000000000000"+"a212319f001ae35f01080f161d242b323940474e555c636a7178")
}

// Of the addresses that an ICMPv6 error may come from, none counts for more bits than
// its subnet has.
func TestDivergence_errorSource(t *testing.T) {
	wantAgreement(t, &model.State{
		Ports: []model.Port{{
			Name: "p1", MAC: hexMAC("02:00:00:00:00:11"), MTU: 1500, IPv4: true, IPv6: true,
			Addrs: prefixes("2001:db8:0:61::1/56", "2001:db8:0:f2::1/64"),
		}},
		Neighbors: []model.Neighbor{{Port: "p1", Addr: address("2001:db8::f"), MAC: hexMAC("02:00:00:00:00:99"), State: "permanent"}},
	}, "p1", "02000000001102000000000186dd"+"6000000000083b4020010db800000000000000000000000f24000000000000000000000000000001"+"0000000000000000")
}

// The first address of two ports' subnets is one address, and so is the last of two
// subnets of one port.
func TestDivergence_sharedEnds(t *testing.T) {
	s := &model.State{Ports: []model.Port{
		{Name: "p1", MAC: hexMAC("02:00:00:00:00:11"), MTU: 1500, IPv4: true, IPv6: true, Addrs: prefixes("2001:db8:0:1::1/48", "10.2.0.1/16", "10.2.240.1/20")},
		{Name: "p2", MAC: hexMAC("02:00:00:00:00:12"), MTU: 1500, IPv4: true, IPv6: true, Addrs: prefixes("2001:db8::9/64")},
	}}
	wantAgreement(t, s, "p2", "02000000001202000000000186dd"+"6000000000083b402001deadbeef0000000000000000000f20010db8000000000000000000000000"+"0000000000000000")
	wantAgreement(t, s, "p2", "0200000000120200000000010800"+"4500001c000000004011469bc63364010a02ffff"+"0001000200080000")
}
