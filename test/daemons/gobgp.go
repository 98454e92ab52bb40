package daemons

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// GoBGP is one gobgpd, which forwards nothing. Its namespace has lo up.
type GoBGP struct {
	*Daemon
	testing.TB
	where Where
}

// NewGoBGP starts gobgpd with a configuration in TOML.
func NewGoBGP(t testing.TB, where Where, config string, args ...string) *GoBGP {
	t.Helper()
	dir := home(t, "/usr/bin/gobgpd")
	g := &GoBGP{TB: t, where: where}
	path := filepath.Join(dir, "gobgpd.toml")
	write(t, path, config)
	g.Daemon = add(t, where, dir, "gobgpd",
		append([]string{"/usr/bin/gobgpd", "-f", path, "-t", "toml", "--api-hosts", "127.0.0.1:50051", "--pprof-disable"}, args...)...)
	g.ready = func() bool {
		_, err := g.try("global")
		return err == nil
	}
	g.Start()
	return g
}

func (g *GoBGP) try(args ...string) (out []byte, err error) {
	err = g.where(func() (err error) {
		out, err = exec.Command("gobgp", args...).CombinedOutput()
		return err
	})
	return out, err
}

// Do returns what gobgp prints: global rib add 203.0.113.0/24.
func (g *GoBGP) Do(args ...string) string {
	g.Helper()
	out, err := g.try(args...)
	if err != nil {
		g.Fatalf("gobgp %q: %v\n%.2000s", args, err, out)
	}
	return string(out)
}

// Ask decodes what gobgp prints as JSON.
func (g *GoBGP) Ask(to any, args ...string) {
	g.Helper()
	out := g.Do(append([]string{"-j"}, args...)...)
	if err := json.Unmarshal([]byte(out), to); err != nil {
		g.Fatalf("gobgp %q: %v\n%.2000s", args, err, out)
	}
}
