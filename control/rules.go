package control

import (
	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// dumpRules finds out whether a family has rules of policy routing by which the
// kernel may send packets another way than the FIB. While it has, its packets
// are the kernel's.
func (f *Follower) dumpRules(family uint8) error {
	table, name := kernel.RulesIPv4, "IPv4"
	if family == unix.AF_INET6 {
		table, name = kernel.RulesIPv6, "IPv6"
	}
	policy := false
	err := f.dumpOptional(table, func(payload []byte) {
		var r kernel.Rule
		if f.decoded(r.Decode(payload)) && !r.Ordinary {
			policy = true
		}
	})
	if err != nil {
		return err
	}
	if policy != f.policy[family] {
		f.policy[family] = policy
		if policy {
			f.config.Log.Warn("there are rules of policy routing ('ip rule'): Linux forwards the family", "family", name)
		} else {
			f.config.Log.Info("there are no rules of policy routing any more", "family", name)
		}
	}
	return nil
}

// takeRule is told that a rule has come or gone. Which are left is asked: that
// is rare, and they are few.
func (f *Follower) takeRule(payload []byte) {
	var r kernel.Rule
	if !f.decoded(r.Decode(payload)) {
		return
	}
	if err := f.dumpRules(r.Family); err != nil {
		f.config.Log.Error("read rules: reading all again", "error", err)
		f.request("rules of policy routing cannot be read: " + err.Error())
	}
	f.tellInterfaces()
}
