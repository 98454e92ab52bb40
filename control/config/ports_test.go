package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestWithEngine(t *testing.T) {
	c := mustParse(t, "version: 1\nports: [{match: eth0, engine: soft}, {match: 'eth?', engine: xdp}, {match: '*', engine: soft}]")
	before := string(c.YAML())
	for _, test := range []struct {
		globs  []string
		engine string
		want   []Port
	}{
		{[]string{"eth1", "eth2"}, "xdp", []Port{{"eth1", "xdp"}, {"eth2", "xdp"}, {"eth0", "soft"}, {"eth?", "xdp"}, {"*", "soft"}}},
		{[]string{"eth0", "eth0"}, "xdp", []Port{{"eth0", "xdp"}, {"eth?", "xdp"}, {"*", "soft"}}},
		{[]string{"eth*"}, "xdp", []Port{{"eth*", "xdp"}, {"eth?", "xdp"}, {"*", "soft"}}}, // eth0 is within it
		{[]string{"*"}, "xdp", []Port{{"*", "xdp"}, {"eth?", "xdp"}}},
		{[]string{"*", "eth?"}, "", nil},
		{[]string{"eth9"}, "", []Port{{"eth0", "soft"}, {"eth?", "xdp"}, {"*", "soft"}}},
	} {
		to, err := c.WithEngine(test.globs, test.engine)
		if err != nil || !reflect.DeepEqual(to.Ports, test.want) {
			t.Errorf("%v engine %q: %v, %v", test.globs, test.engine, to, err)
			continue
		}
		if again := mustParse(t, string(to.YAML())); !reflect.DeepEqual(again.Ports, to.Ports) {
			t.Errorf("%s reads as %v", to.YAML(), again.Ports)
		}
	}
	for _, glob := range []string{"", "a b", "[", "a\x00", "a/b"} {
		if _, err := c.WithEngine([]string{"eth1", glob}, EngineSoft); !errors.Is(err, ErrEngine) {
			t.Errorf("%q: %v", glob, err)
		}
	}
	if _, err := c.WithEngine(make([]string, maxPorts+1), ""); !errors.Is(err, ErrEngine) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too many globs: %v", err)
	}
	if _, err := c.WithEngine([]string{"eth1"}, "fast"); !errors.Is(err, ErrEngine) {
		t.Error(err)
	}
	if after := string(c.YAML()); after != before {
		t.Errorf("the configuration has changed: %s", after)
	}
}
