package kernel

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRuleDecode(t *testing.T) {
	header := func(source, table, action, flags byte) []byte {
		return binary.NativeEndian.AppendUint32([]byte{unix.AF_INET, 0, source, 0, table, 0, 0, action}, uint32(flags))
	}
	number := func(kind uint16, n uint32) []byte { return attribute(kind, binary.NativeEndian.AppendUint32(nil, n)) }
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for name, c := range map[string]struct {
		message  []byte
		ordinary bool
	}{
		"local":         {join(header(0, 255, 1, 1), number(ruleTable, 255), number(ruleSuppressPrefix, ^uint32(0))), true},
		"main":          {join(header(0, 254, 1, 0), number(rulePriority, 32766), number(ruleTable, 254)), true},
		"VRFs":          {join(header(0, 0, 1, 0), number(rulePriority, 1000), attribute(ruleL3Master, []byte{1, 0, 0, 0})), true},
		"another table": {join(header(0, 100, 1, 0), number(ruleTable, 100)), false},
		"a large table": {join(header(0, 0, 1, 0), number(ruleTable, 1000)), false},
		"a source":      {join(header(32, 254, 1, 0), number(ruleTable, 254), number(2, 0x0a000001)), false},
		"a mark":        {join(header(0, 254, 1, 0), number(ruleTable, 254), number(10, 7)), false},
		"inverted":      {join(header(0, 254, 1, 2), number(ruleTable, 254)), false},
		"blackhole":     {header(0, 254, 6, 0), false},
		"suppressed":    {join(header(0, 254, 1, 0), number(ruleTable, 254), number(ruleSuppressPrefix, 0)), false},
	} {
		var r Rule
		if err := r.Decode(c.message); err != nil || r.Family != unix.AF_INET || r.Ordinary != c.ordinary {
			t.Errorf("%s: %+v, %v; want ordinary %v", name, r, err, c.ordinary)
		}
	}
	var r Rule
	for _, b := range [][]byte{nil, make([]byte, 11), append(header(0, 254, 1, 0), 1)} {
		if err := r.Decode(b); !errors.Is(err, ErrMessage) {
			t.Errorf("%x: %v, want ErrMessage", b, err)
		}
	}
	if err := r.Decode(make([]byte, 12)); !errors.Is(err, ErrForeign) {
		t.Errorf("family 0: %v, want ErrForeign", err)
	}
}
