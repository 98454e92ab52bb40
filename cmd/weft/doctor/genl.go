package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Numbers of linux/genetlink.h, linux/netdev.h and linux/ethtool_netlink.h.
const (
	genlHeader     = 4
	ctrlGetFamily  = 3
	ctrlFamilyID   = 1
	ctrlFamilyName = 2

	netdevDevGet      = 1
	netdevIfindex     = 1
	netdevXDPFeatures = 3

	ethtoolFeaturesGet    = 11
	ethtoolHeader         = 1
	ethtoolHeaderDevIndex = 1
	ethtoolActive         = 4
	ethtoolBitsetBits     = 3
	ethtoolBitName        = 2
)

// genl sends a request of a generic netlink family, and lets each see the
// attributes of every answer.
func genl(family string, command uint8, flags netlink.HeaderFlags, attrs []byte, each func(*netlink.AttributeDecoder) error) (err error) {
	c, err := netlink.Dial(unix.NETLINK_GENERIC, nil)
	if err != nil {
		return fmt.Errorf("open generic netlink: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	id, err := familyID(c, family)
	if err != nil {
		return fmt.Errorf("find generic netlink family %s: %w", family, err)
	}
	replies, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(id), Flags: netlink.Request | flags},
		Data:   append([]byte{command, 1, 0, 0}, attrs...),
	})
	if err != nil {
		return fmt.Errorf("ask generic netlink family %s: %w", family, err)
	}
	for _, m := range replies {
		if err := decodeAttributes(m.Data, each); err != nil {
			return err
		}
	}
	return nil
}

// decodeAttributes is for messages that begin with 4 bytes of a header: of generic
// netlink and of nfnetlink.
func decodeAttributes(data []byte, each func(*netlink.AttributeDecoder) error) error {
	if len(data) < genlHeader {
		return fmt.Errorf("generic netlink: message of %d bytes", len(data))
	}
	ad, err := netlink.NewAttributeDecoder(data[genlHeader:])
	if err != nil {
		return err
	}
	if err := each(ad); err != nil {
		return err
	}
	return ad.Err()
}

func familyID(c *netlink.Conn, name string) (id uint16, err error) {
	ae := netlink.NewAttributeEncoder()
	ae.String(ctrlFamilyName, name)
	attrs, err := ae.Encode()
	if err != nil {
		return 0, err
	}
	replies, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.GENL_ID_CTRL, Flags: netlink.Request},
		Data:   append([]byte{ctrlGetFamily, 1, 0, 0}, attrs...),
	})
	if err != nil {
		return 0, err
	}
	for _, m := range replies {
		err = decodeAttributes(m.Data, func(ad *netlink.AttributeDecoder) error {
			for ad.Next() {
				if ad.Type() == ctrlFamilyID {
					id = ad.Uint16()
				}
			}
			return nil
		})
	}
	return id, err
}

// xdpFeatures returns what XDP each driver has, by ifindex. Minimum kernel: 6.3.
func xdpFeatures() (map[int]uint64, error) {
	all := map[int]uint64{}
	err := genl("netdev", netdevDevGet, netlink.Dump, nil, func(ad *netlink.AttributeDecoder) error {
		index, features := xdpDevice(ad)
		all[index] = features
		return nil
	})
	return all, err
}

// xdpDevice reads what XDP a device has.
func xdpDevice(ad *netlink.AttributeDecoder) (index int, features uint64) {
	for ad.Next() {
		switch ad.Type() {
		case netdevIfindex:
			index = int(ad.Uint32())
		case netdevXDPFeatures:
			if b := ad.Bytes(); len(b) == 8 {
				features = binary.NativeEndian.Uint64(b)
			}
		}
	}
	return index, features
}

// activeOffloads returns the features of an interface that are on, by ethtool's
// names. Minimum kernel: 5.7. All interfaces at once do not fit into messages.
func activeOffloads(ifindex int) (names []string, err error) {
	ae := netlink.NewAttributeEncoder()
	ae.Nested(ethtoolHeader, func(ae *netlink.AttributeEncoder) error {
		ae.Uint32(ethtoolHeaderDevIndex, uint32(ifindex))
		return nil
	})
	attrs, err := ae.Encode()
	if err != nil {
		return nil, err
	}
	err = genl("ethtool", ethtoolFeaturesGet, 0, attrs, func(ad *netlink.AttributeDecoder) error {
		activeNames(ad, &names)
		return nil
	})
	return names, err
}

// activeNames reads the names of the features that are on.
func activeNames(ad *netlink.AttributeDecoder, names *[]string) {
	for ad.Next() {
		if ad.Type() == ethtoolActive {
			ad.Nested(func(ad *netlink.AttributeDecoder) error { return bitNames(ad, names) })
		}
	}
}

// bitNames reads the names of a bitset that lists the bits that are set.
func bitNames(ad *netlink.AttributeDecoder, names *[]string) error {
	for ad.Next() {
		if ad.Type() == ethtoolBitsetBits {
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					ad.Nested(func(ad *netlink.AttributeDecoder) error { return bitName(ad, names) })
				}
				return nil
			})
		}
	}
	return nil
}

func bitName(ad *netlink.AttributeDecoder, names *[]string) error {
	for ad.Next() {
		if ad.Type() == ethtoolBitName {
			*names = append(*names, ad.String())
		}
	}
	return nil
}
