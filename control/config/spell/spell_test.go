package spell

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	words := []string{"prefix", "preference", "via", "dev", "type"}
	for word, want := range map[string]string{
		"prefx": "prefix", "perfix": "prefix", "preferense": "preference", "pref": "prefix", "vai": "via", "device": "dev", "x": "",
		"tpye": "type", "metric": "", strings.Repeat("p", 1000): "", "": "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("%.20q: %q, want %q", word, got, want)
		}
	}
	words = []string{"routes", "status", "stats", "ports", "monitor"}
	for word, want := range map[string]string{
		"rotues": "routes", "prots": "ports", "statsu": "status", "stat": "status", "montor": "monitor", "xyz": "", "p": "", "": "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("%q: nearest is %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"abc", "acb", 1}, {"abc", "xbc", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance of %q and %q is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
