package config

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Engines that forward.
const (
	EngineXDP  = "xdp"  // in the kernel
	EngineSoft = "soft" // in weft's own process
)

// Engines returns the names that there are.
func Engines() []string { return []string{EngineXDP, EngineSoft} }

// Port says which engine the ports have whose names match. Of several the first counts; ports
// that none matches have what 'weft run --engine' says.
type Port struct {
	Match  string `json:"match"` // glob, as of path.Match
	Engine string `json:"engine"`
}

const (
	maxPorts = 1 << 10

	// globPattern is what names of interfaces and globs of them are made of.
	globPattern = `^[^/:\s\x00-\x1f]{1,64}$`
)

var globExpression = regexp.MustCompile(globPattern)

func checkGlob(s string) error {
	if _, err := path.Match(s, ""); err != nil || !globExpression.MatchString(s) {
		return wrongf("want one like eth0 or 'eth*'", "%q: neither a name nor a glob of names", s)
	}
	return nil
}

// port is one entry of ports.
func (r *reader) port() value {
	p := &Port{}
	return &object{
		title: "Port",
		fields: []field{
			{"match", "Glob of the names of ports, as 'eth*'; the first entry that matches counts.", true, &text{pattern: globPattern, parse: func(s string) error {
				p.Match = s
				return checkGlob(s)
			}}},
			{"engine", "What forwards that comes in by them: xdp, or soft, the loop in weft's own process. That of ports which none matches is weft run's --engine.", true, &text{choices: Engines(), parse: func(s string) error {
				p.Engine = s
				return nil
			}}},
		},
		check: func(f found) {
			if at, twice := r.matches[p.Match]; twice {
				f.wrong("match", "keep one of them", "%s is for the same ports", at)
				return
			}
			r.matches[p.Match] = f.path
			r.config.Ports = append(r.config.Ports, *p)
		},
	}
}

// ErrEngine: what is to be done with ports makes no sense.
var ErrEngine = errors.New("ports cannot be set")

// WithEngine returns a configuration in which ports have an engine, before all that it says of
// them already; "": it does not say anything about these globs any more.
//
// Errors: ErrEngine.
func (c *Config) WithEngine(globs []string, engine string) (*Config, error) {
	to := *c
	to.Ports = nil
	if engine != "" && !slices.Contains(Engines(), engine) {
		return nil, fmt.Errorf("%w: engine %q: want one of %s", ErrEngine, engine, strings.Join(Engines(), ", "))
	}
	if len(globs) > maxPorts {
		return nil, fmt.Errorf("%w: %d names or globs: want %d at most", ErrEngine, len(globs), maxPorts)
	}
	for _, glob := range globs {
		var w *wrong
		if errors.As(checkGlob(glob), &w) {
			return nil, fmt.Errorf("%w: %s: %s", ErrEngine, w.cause, w.remedy)
		}
		if engine != "" && !slices.ContainsFunc(to.Ports, func(p Port) bool { return p.Match == glob }) {
			to.Ports = append(to.Ports, Port{glob, engine})
		}
	}
	for _, had := range c.Ports {
		if !slices.ContainsFunc(globs, had.isWithin) {
			to.Ports = append(to.Ports, had)
		}
	}
	if len(to.Ports) > maxPorts {
		return nil, fmt.Errorf("%w: %d entries: want %d at most", ErrEngine, len(to.Ports), maxPorts)
	}
	return &to, nil
}

// isWithin tells whether a glob matches all that p does, as far as that is plain.
func (p Port) isWithin(glob string) bool {
	within, _ := path.Match(glob, p.Match)
	return p.Match == glob || within && !strings.ContainsAny(p.Match, `*?[\`)
}

// ports tells of entries that come, change and go, and of another order of the others.
func (p *Plan) ports(from, to *Config) {
	texts := func(c *Config) map[string]string {
		all := map[string]string{}
		for _, one := range c.Ports {
			all[one.Match] = "engine " + one.Engine
		}
		return all
	}
	was, is := texts(from), texts(to)
	diffMaps(p, ThingPort, was, is)
	kept := func(c *Config, other map[string]string) string {
		var all []string
		for _, one := range c.Ports {
			if _, both := other[one.Match]; both {
				all = append(all, one.Match)
			}
		}
		return strings.Join(all, " ")
	}
	p.compare(ThingPortOrder, "of ports", kept(from, is), kept(to, was), true, true)
}

// enginesChange tells whether any port may get another engine.
func enginesChange(from, to *Config) bool { return !slices.Equal(from.Ports, to.Ports) }
