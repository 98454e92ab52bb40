package kernel

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Rule is a rule of policy routing (ip-rule(8)), as far as it matters whether
// the kernel chooses among its tables by more than the destination.
type Rule struct {
	Family uint8
	// Ordinary rules are for all packets and lead to the tables local, main or
	// default, or to that of the VRF that a packet came in by.
	Ordinary bool
}

// Of linux/fib_rules.h.
const (
	ruleHeader         = 12 // struct fib_rule_hdr: family, dst_len, src_len, tos, table, 2 reserved, action; flags
	ruleToTable        = 1  // FR_ACT_TO_TBL
	rulePermanent      = 1  // FIB_RULE_PERMANENT: the kernel's own
	rulePriority       = 6  // FRA_PRIORITY
	ruleSuppressPrefix = 14 // FRA_SUPPRESS_PREFIXLEN
	ruleTable          = 15 // FRA_TABLE
	rulePad            = 18 // FRA_PAD
	ruleL3Master       = 19 // FRA_L3MDEV
	ruleProtocol       = 21 // FRA_PROTOCOL: who made it
)

// Decode reads the payload of RTM_NEWRULE and RTM_DELRULE.
//
// Errors: ErrMessage, ErrForeign.
func (r *Rule) Decode(b []byte) error {
	*r = Rule{}
	if err := short("rule", b, ruleHeader); err != nil {
		return err
	}
	if r.Family = b[0]; bitsOf(r.Family) == 0 {
		return fmt.Errorf("rule: %w: family %d", ErrForeign, r.Family)
	}
	table, ofVRF := uint32(b[4]), false
	r.Ordinary = b[1] == 0 && b[2] == 0 && b[3] == 0 && b[7] == ruleToTable &&
		binary.NativeEndian.Uint32(b[8:])&^rulePermanent == 0
	a := newAttributes(b[ruleHeader:])
	for a.next() {
		switch a.kind {
		case ruleTable:
			table = a.number()
		case ruleL3Master:
			ofVRF = true
		case ruleSuppressPrefix:
			r.Ordinary = r.Ordinary && a.number() == ^uint32(0) // none
		case rulePriority, ruleProtocol, rulePad:
		default: // what a packet must have for it
			r.Ordinary = false
		}
	}
	if a.err != nil {
		return fmt.Errorf("rule: %w", a.err)
	}
	switch table {
	case unix.RT_TABLE_LOCAL, unix.RT_TABLE_MAIN, unix.RT_TABLE_DEFAULT:
	default:
		r.Ordinary = r.Ordinary && ofVRF
	}
	return nil
}

// Rules, by family. A kernel without policy routing has none: EOPNOTSUPP.
var (
	RulesIPv4 = Table{unix.RTM_GETRULE, ofFamily(unix.AF_INET, ruleHeader)}
	RulesIPv6 = Table{unix.RTM_GETRULE, ofFamily(unix.AF_INET6, ruleHeader)}
)
