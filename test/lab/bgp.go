package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// weftConfig is the configuration of a router that speaks BGP by weft.
func (n Node) weftConfig(peers []neighbor) string {
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
bgp:
  as: %d
  router_id: %s
  maximum_paths: %d
  redistribute: [{source: connected}]
  neighbors:
`, n.AS, n.ID, MaxSpines)
	for _, p := range peers {
		fmt.Fprintf(&b, "    - {interface: %s, remote_as: external, passive: %t, timers: {hold: 9s, keepalive: 3s, connect_retry: 2s}}\n", p.dev, p.waits)
	}
	return strings.TrimSuffix(b.String(), "  neighbors:\n")
}

// WeftArguments returns what 'weft run' is to be given in a router, and makes the files that it names.
//
// Errors: ErrNode.
func (l *Lab) WeftArguments(router string) ([]string, error) {
	if err := l.has(router); err != nil || l.Routing != BGP {
		return nil, err
	}
	n, _ := l.node(router)
	config := filepath.Join(l.dir(router), "weft.yaml")
	err := os.MkdirAll(filepath.Dir(config), 0o755)
	if err == nil {
		err = os.WriteFile(config, []byte(n.weftConfig(l.peers(router))), 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("configure weft in %s: %w", router, err)
	}
	return []string{"--config", config}, nil
}
