package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mdlayher/netlink"
	vishvananda "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netfilter warns of filters and NAT: what XDP forwards does not pass them.
func netfilter(p *patient) []Finding {
	chains, err := p.Chains()
	if err != nil {
		return one(unknown("", "chains of netfilter", err))
	}
	if len(chains) == 0 {
		return one(ok("", "nothing of netfilter is in the way of forwarded packets"))
	}
	return one(Finding{"", "", Warn,
		"netfilter looks at forwarded packets (" + strings.Join(chains, ", ") + "): what weft forwards does not pass there",
		"sudo nft list ruleset   (leave out the ports that need it: weft run --ports)"})
}

// policyRules warns of rules that make Linux choose by more than the destination.
func policyRules(p *patient) []Finding {
	rules, err := p.Rules()
	if err != nil {
		return one(unknown("", "rules of policy routing", err))
	}
	if len(rules) == 0 {
		return one(ok("", "no rules of policy routing"))
	}
	return one(Finding{"", "", Warn,
		"there are rules of policy routing (" + strings.Join(rules, ", ") + "): weft leaves the family to Linux",
		"ip rule show; sudo ip rule del ..."})
}

// Of linux/netfilter/nf_tables.h.
const (
	chainTable    = 1 // NFTA_CHAIN_TABLE
	chainName     = 3 // NFTA_CHAIN_NAME
	chainHook     = 4 // NFTA_CHAIN_HOOK
	hookNumber    = 1 // NFTA_HOOK_HOOKNUM
	nfgenmsg      = 4 // bytes: family, version, resource
	hookForward   = 2 // NF_INET_FORWARD
	protoNetdev   = 5 // NFPROTO_NETDEV
	protoBridge   = 7 // NFPROTO_BRIDGE
	hookPreroute  = 0 // NF_INET_PRE_ROUTING
	hookPostroute = 4 // NF_INET_POST_ROUTING
)

// Chains implements Machine.
func (Linux) Chains() ([]string, error) {
	chains, err := legacyTables()
	if err != nil {
		return nil, err
	}
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return chains, nil // a kernel without netfilter
	}
	if err != nil {
		return nil, fmt.Errorf("open netfilter netlink: %w", err)
	}
	replies, err := c.Execute(netlink.Message{
		Header: netlink.Header{
			Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETCHAIN, Flags: netlink.Request | netlink.Dump,
		},
		Data: make([]byte, nfgenmsg),
	})
	err = errors.Join(err, c.Close())
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return chains, nil // without nf_tables
	}
	if err != nil {
		return nil, fmt.Errorf("ask for chains: %w", err)
	}
	for _, m := range replies {
		name, err := forwardChain(m.Data)
		if err != nil {
			return nil, err
		}
		if name != "" {
			chains = append(chains, name)
		}
	}
	return chains, nil
}

// legacyTables are those of iptables that are loaded: its chains see all.
func legacyTables() (tables []string, err error) {
	for _, f := range []string{"ip", "ip6"} {
		text, readErr := os.ReadFile("/proc/self/net/" + f + "_tables_names")
		if readErr != nil && !errors.Is(readErr, os.ErrNotExist) {
			err = errors.Join(err, readErr)
		}
		for _, name := range strings.Fields(string(text)) {
			tables = append(tables, f+"tables "+name)
		}
	}
	return tables, err
}

// forwardChain names a chain that packets pass on their way through the machine;
// "" is another one.
func forwardChain(message []byte) (string, error) {
	if len(message) < nfgenmsg {
		return "", fmt.Errorf("chain of %d bytes", len(message))
	}
	family := message[0]
	var table, name string
	hooked := false
	err := decodeAttributes(message, func(ad *netlink.AttributeDecoder) error {
		for ad.Next() {
			switch ad.Type() {
			case chainTable:
				table = ad.String()
			case chainName:
				name = ad.String()
			case chainHook:
				ad.Nested(func(ad *netlink.AttributeDecoder) error {
					for ad.Next() {
						if ad.Type() == hookNumber {
							n := beUint32(ad.Bytes())
							hooked = n == hookPreroute || n == hookForward || n == hookPostroute
						}
					}
					return ad.Err()
				})
			}
		}
		return ad.Err()
	})
	if err != nil || !hooked || family == protoNetdev || family == protoBridge {
		return "", err
	}
	return "nftables " + table + " " + name, nil
}

func beUint32(b []byte) (n uint32) {
	for _, c := range b {
		n = n<<8 | uint32(c)
	}
	return n
}

// Rules implements Machine.
func (Linux) Rules() (rules []string, err error) {
	for family, tool := range map[int]string{unix.AF_INET: "ip rule", unix.AF_INET6: "ip -6 rule"} {
		all, err := vishvananda.RuleList(family)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tool, err)
		}
		for i := range all {
			if r := &all[i]; !isOrdinary(r) {
				rules = append(rules, fmt.Sprintf("%s %d", tool, r.Priority))
			}
		}
	}
	return rules, nil
}

// isOrdinary tells the rules that every machine has.
func isOrdinary(r *vishvananda.Rule) bool {
	return r.Src == nil && r.Dst == nil && r.Mark == 0 && r.IifName == "" && r.OifName == "" && r.Tos == 0 && !r.Invert &&
		r.Dport == nil && r.Sport == nil && r.IPProto == 0 && r.UIDRange == nil && r.Goto < 0 && r.SuppressPrefixlen < 0 &&
		(r.Table == unix.RT_TABLE_LOCAL || r.Table == unix.RT_TABLE_MAIN || r.Table == unix.RT_TABLE_DEFAULT || r.Table == 0)
}
