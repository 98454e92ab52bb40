package doctor

import (
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// TestChains makes a chain that sees forwarded packets and one that does not.
func TestChains(t *testing.T) {
	enterNetns(t)
	before, err := (Linux{}).Chains()
	if err != nil || len(before) != 0 {
		t.Fatalf("in an empty namespace: %v, %v", before, err)
	}
	nftables(t, unix.NFT_MSG_NEWTABLE, func(e *netlink.AttributeEncoder) { e.String(1, "filter") }) // NFTA_TABLE_NAME
	for _, c := range []struct {
		name string
		hook uint32
	}{{"input", 1}, {"forward", hookForward}} {
		nftables(t, unix.NFT_MSG_NEWCHAIN, func(e *netlink.AttributeEncoder) {
			e.String(chainTable, "filter")
			e.String(chainName, c.name)
			e.Nested(chainHook, func(e *netlink.AttributeEncoder) error {
				e.Bytes(hookNumber, binary.BigEndian.AppendUint32(nil, c.hook))
				e.Bytes(2, make([]byte, 4)) // NFTA_HOOK_PRIORITY
				return nil
			})
			e.String(7, "filter") // NFTA_CHAIN_TYPE
		})
	}
	got, err := (Linux{}).Chains()
	if err != nil || !slices.Equal(got, []string{"nftables filter forward"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// nftables makes something in a transaction of its own, for IPv4.
func nftables(t *testing.T, kind uint16, attributes func(*netlink.AttributeEncoder)) {
	t.Helper()
	e := netlink.NewAttributeEncoder()
	attributes(e)
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	batch := []byte{unix.AF_UNSPEC, 0, 0, unix.NFNL_SUBSYS_NFTABLES}
	_, err = c.SendMessages([]netlink.Message{
		{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_BEGIN, Flags: netlink.Request}, Data: batch},
		{
			Header: netlink.Header{
				Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind),
				Flags: netlink.Request | netlink.Acknowledge | netlink.Create,
			},
			Data: append([]byte{unix.AF_INET, 0, 0, 0}, b...),
		},
		{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_END, Flags: netlink.Request}, Data: batch},
	})
	if err == nil {
		_, err = c.Receive()
	}
	if err != nil {
		t.Fatalf("nftables message %d: %v", kind, err)
	}
}

func TestRules(t *testing.T) {
	enterNetns(t)
	if rules, err := (Linux{}).Rules(); err != nil || len(rules) != 0 {
		t.Fatalf("in an empty namespace: %v, %v", rules, err)
	}
	if out, err := exec.Command("ip", strings.Fields("-6 rule add from 2001:db8::/32 lookup 7 priority 100")...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if rules, err := (Linux{}).Rules(); err != nil || !slices.Equal(rules, []string{"ip -6 rule 100"}) {
		t.Errorf("%v, %v", rules, err)
	}
}

// enterNetns moves the test into a network namespace that goes with it.
func enterNetns(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("make network namespace: %v: CI runs this as root", err)
		}
		t.Skipf("make network namespace: %v: run as root", err)
	}
}
