package daemon

import (
	"context"
	"fmt"

	"weft/control/config"
	"weft/control/ports"
	"weft/dataplane"
)

// engineRules are what a configuration says of the engines of ports. It stands above --engine.
func engineRules(c *config.Config) (rules []ports.Rule) {
	for _, p := range c.Ports {
		engine := dataplane.XDP
		if p.Engine == config.EngineSoft {
			engine = dataplane.Soft
		}
		rules = append(rules, ports.Rule{Match: p.Match, Engine: engine})
	}
	return rules
}

// beginEngines has ports go by the configuration that was in force last, before there are any: what
// was adopted then goes to the engine that it had at once.
func (r *router) beginEngines() error {
	c, number := r.config.Running()
	if err := r.ports.SetRules(engineRules(c)); err != nil {
		return fmt.Errorf("put configuration %d into force: %w", number, err)
	}
	return nil
}

// replaceEngines gives ports the engines that a configuration says: all of them, or none and an error.
func (r *router) replaceEngines(ctx context.Context, c *config.Config) error {
	var refused error
	if err := r.follower.UpdatePorts(ctx, func() { refused = r.ports.SetRules(engineRules(c)) }); err != nil {
		return err
	}
	return refused
}
