package ports

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"weft/dataplane"
)

// Rule says which engine ports have whose names match.
type Rule struct {
	Match  string // glob, as of Config.Names
	Engine dataplane.Name
}

// ErrRule: a rule cannot be kept.
var ErrRule = errors.New("ports cannot have this engine")

// SetRules gives ports the engines that rules say: of several that match, the first counts, and
// Config.PortEngine where none does. Each port that changes its engine does so without loss. With
// an error, all have the engines and the Set has the rules that they had. It is for the goroutine
// of Take.
func (s *Set) SetRules(rules []Rule) error {
	if err := checkRules(rules); err != nil {
		return err
	}
	before := s.rules
	s.keepRules(rules)
	if err := s.switchEngines(); err != nil {
		s.keepRules(before)
		return err
	}
	s.update() // what was refused may be a port with another engine
	return nil
}

func checkRules(rules []Rule) error {
	for _, r := range rules {
		if _, err := path.Match(r.Match, ""); err != nil {
			return fmt.Errorf("%s: %w: %w", r.Match, ErrRule, err)
		}
	}
	return nil
}

func (s *Set) keepRules(rules []Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = rules
}

// switchEngines gives all ports that are there the engines that they are to have, or none.
func (s *Set) switchEngines() error {
	var switched []dataplane.Port // as they were
	for _, index := range slices.Sorted(maps.Keys(s.ports)) {
		have := s.ports[index]
		want := have
		want.Engine = s.engineOf(have.Name)
		if _, told := s.interfaces[index]; !told || have.Parent != 0 || want == have {
			continue
		}
		// gofail: var portSwitch struct{}
		if err := s.engine.SetPort(want); err != nil {
			return errors.Join(fmt.Errorf("%s: %w: %w", have.Name, ErrRule, err), s.switchBack(switched))
		}
		// gofail: var portSwitched struct{}
		switched = append(switched, have)
		s.keep(&want)
	}
	for _, had := range switched {
		s.tell("%s has engine %s, instead of %s", had.Name, s.ports[had.Ifindex].Engine, had.Engine)
	}
	return nil
}

// switchBack makes ports what they were, the last first.
func (s *Set) switchBack(were []dataplane.Port) error {
	var errs []error
	for _, p := range slices.Backward(were) {
		if err := s.engine.SetPort(p); err != nil {
			errs = append(errs, fmt.Errorf("take %s back to engine %s: %w", p.Name, p.Engine, err))
		}
		s.keep(&p)
	}
	return errors.Join(errs...)
}

// keep notes what a port is.
func (s *Set) keep(p *dataplane.Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports[p.Ifindex] = *p
}

// engineOf returns the engine that a port is to have that is no VLAN.
func (s *Set) engineOf(name string) dataplane.Name {
	if r, ok := find(s.rules, name); ok {
		return r.Engine
	}
	if len(s.config.EngineNames) == 0 || matches(s.config.EngineNames, name) {
		return s.config.PortEngine
	}
	return dataplane.XDP
}

func find(rules []Rule, name string) (Rule, bool) {
	i := slices.IndexFunc(rules, func(r Rule) bool { return matches([]string{r.Match}, name) })
	if i < 0 {
		return Rule{}, false
	}
	return rules[i], true
}

// Rule returns the rule that says which engine a port has, if one does. Any goroutine.
func (s *Set) Rule(name string) (Rule, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return find(s.rules, name)
}
