package bgp

import (
	"os"
	"path/filepath"

	"weft/test/star"
)

// write makes a configuration file.
func write(n *star.Network, text string) string {
	n.Helper()
	path := filepath.Join(n.TempDir(), "weft.yaml")
	if err := os.WriteFile(path, []byte("version: 1\n"+text), 0o600); err != nil {
		n.Fatal(err)
	}
	return path
}

// receiving is weft as a neighbor of the feeder.
const receiving = `
bgp:
  as: 65001
  router_id: 10.2.0.1
  neighbors:
    - {address: 10.2.0.2, remote_as: 65002, passive: true, families: [ipv4-unicast]}
    - {address: "2001:db8:2::2", remote_as: 65002, passive: true, families: [ipv6-unicast]}
`

func weftAlone(n *star.Network) *peer {
	n.Helper()
	n.Start("--config", write(n, receiving))
	return &peer{
		Network: n,
		pid:     func() int { return n.Daemon.Pid },
		has: func() int {
			s := n.Status()
			return s.FIB.IPv4Routes + s.FIB.IPv6Routes - s.FIB.NotInstalled
		},
		stop: func() {
			if o := n.Weft("stop"); o.Code != 0 {
				n.Fatalf("weft stop: %s", o.Stderr)
			}
			n.Ended()
		},
	}
}
