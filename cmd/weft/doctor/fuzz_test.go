package doctor

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// FuzzMessage reads answers of generic netlink and of netfilter: none is longer than what it was made of.
func FuzzMessage(f *testing.F) {
	add := func(family byte, attributes func(*netlink.AttributeEncoder)) {
		e := netlink.NewAttributeEncoder()
		attributes(e)
		b, err := e.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte{family, 1, 0, 0}, b...))
	}
	add(1, func(e *netlink.AttributeEncoder) {
		e.Uint32(netdevIfindex, 2)
		e.Uint64(netdevXDPFeatures, 0x57)
	})
	add(1, func(e *netlink.AttributeEncoder) {
		e.Nested(ethtoolActive, func(e *netlink.AttributeEncoder) error {
			e.Nested(ethtoolBitsetBits, func(e *netlink.AttributeEncoder) error {
				e.Nested(1, func(e *netlink.AttributeEncoder) error { e.String(ethtoolBitName, "rx-lro"); return nil })
				return nil
			})
			return nil
		})
	})
	add(unix.AF_INET, func(e *netlink.AttributeEncoder) {
		e.String(chainTable, "filter")
		e.String(chainName, "forward")
		e.Nested(chainHook, func(e *netlink.AttributeEncoder) error {
			e.Bytes(hookNumber, binary.BigEndian.AppendUint32(nil, hookForward))
			return nil
		})
	})
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, message []byte) {
		_ = decodeAttributes(message, func(ad *netlink.AttributeDecoder) error { xdpDevice(ad); return nil })
		var names []string
		err := decodeAttributes(message, func(ad *netlink.AttributeDecoder) error { activeNames(ad, &names); return nil })
		if size := len(strings.Join(names, "")); size > len(message) {
			t.Errorf("%d bytes of names, %v", size, err)
		}
		chain, err := forwardChain(message)
		if len(chain) > len(message)+len("nftables  ") || chain != "" && err != nil {
			t.Errorf("chain %q, %v", chain, err)
		}
	})
}

// FuzzMachine looks at machines whose files and names are anything.
func FuzzMachine(f *testing.F) {
	f.Add("6.18.0", "24 1 0:22 / /sys rw shared:7 - sysfs sysfs rw\n", "1\n", "eth0")
	f.Add("5.10.0-29-amd64", "24 1 0:22 / /sys rw - sysfs red rw\n25 - \n", "x", "a\x1b[31m\xff")
	f.Add("", " - ", "", "")
	f.Fuzz(func(t *testing.T, release, mounts, setting, name string) {
		m := healthy()
		m.release, m.files["/proc/self/mountinfo"] = release, mounts
		m.link(Link{Index: 4, Name: name, Kind: setting, Driver: release})
		for file := range m.files {
			if strings.HasPrefix(file, "/proc/sys/") {
				m.files[file] = setting
			}
		}
		for _, finding := range Examine(m, nil) {
			if finding.Text == "" || !slices.Contains([]Level{OK, Warn, Fail}, finding.Level) {
				t.Errorf("%+v", finding)
			}
		}
	})
}
