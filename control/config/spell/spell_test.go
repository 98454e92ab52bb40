package spell

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	words := []string{"prefix", "preference", "via", "dev", "type"}
	for word, want := range map[string]string{
		"prefx": "prefix", "perfix": "prefix", "preferense": "preference", "pref": "prefix", "vai": "via", "device": "", "x": "",
		"tpye": "type", "metric": "", strings.Repeat("p", 1000): "", "": "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("%.20q: %q, want %q", word, got, want)
		}
	}
}
