package ports

import (
	"path"
	"testing"
)

// FuzzCheckNames holds that a glob which is accepted matches every name, or does not: it is never found to be wrong later.
func FuzzCheckNames(f *testing.F) {
	for _, glob := range []string{"eth*", "veth-[a-z]?", "[", "eth[0-9", "a[]a]", `a\`, "[-]", "*[", ""} {
		f.Add(glob, "eth0")
	}
	f.Fuzz(func(t *testing.T, glob, name string) {
		err := CheckNames([]string{glob})
		if _, late := path.Match(glob, name); err == nil && late != nil {
			t.Errorf("%q is accepted, and then at %q: %v", glob, name, late)
		}
	})
}
