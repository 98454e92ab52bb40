package bgp

import (
	"fmt"

	"weft/test/daemons"
	"weft/test/traffic"
)

// third connects h3 by a link more, to-h4, with 10.4.0.1 and 10.4.0.2.
func third(n *network) {
	n.Helper()
	n.IP("r1", "link add to-h4 type veth peer name eth1 netns "+n.Lab.Namespace("h3"))
	for _, end := range [][3]string{{"r1", "to-h4", "10.4.0.1/24"}, {"h3", "eth1", "10.4.0.2/24"}} {
		n.IP(end[0], fmt.Sprintf("addr add %s dev %s", end[2], end[1]))
		n.IP(end[0], fmt.Sprintf("link set %s up", end[1]))
		n.Command(end[0], "ethtool", "-K", end[1], "gro", "on", "tx", "off")
	}
	index := n.Link("h3", "eth1").Attrs().Index
	err := n.Lab.In("h3", func() error {
		sink, err := traffic.NewSink(index, traffic.SinkOptions{})
		if err == nil {
			n.Cleanup(func() { sink.Close() })
		}
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	n.IsPort("to-h4")
}

// startThird starts in h3 another FRR, and a BIRD that is behind the other link.
func (n *network) startThird() {
	n.Helper()
	f := daemons.NewFRR(n.TB, daemons.Node(n.Lab, "h3"))
	f.Start("zebra", "")
	f.Start("bgpd", "router bgp 65004\n bgp router-id 10.3.0.2\n no bgp ebgp-requires-policy\n no bgp network import-check\n"+
		neighborAt("eth0")+fmt.Sprintf(both, "eth0"), "-l", "10.3.0.2", "-l", "::")
	n.bird = daemons.NewBIRD(n.TB, daemons.Node(n.Lab, "h3"), fmt.Sprintf(`
router id 10.4.0.2;
protocol device {}
protocol static s4 { ipv4; route 10.70.0.0/16 blackhole; }
protocol bgp four { strict bind; local 10.4.0.2 as 65003; neighbor 10.4.0.1 as 65001; %s ipv4 { import all; export where proto = "s4"; next hop self; }; }
`, fast))
}

// received counts the packets that came out of the router's links to the neighbors.
func (n *network) received() map[string]uint64 {
	n.Helper()
	all := map[string]uint64{}
	for _, at := range [][2]string{{"h2", "eth0"}, {"h3", "eth0"}, {"h3", "eth1"}} {
		all[at[0]+" "+at[1]] = n.Link(at[0], at[1]).Attrs().Statistics.RxPackets
	}
	return all
}

// total is how many more they are.
func (n *network) total(before map[string]uint64) (packets uint64) {
	n.Helper()
	for name, now := range n.received() {
		packets += now - before[name]
	}
	return packets
}
