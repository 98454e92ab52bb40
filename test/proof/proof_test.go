package proof

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "proof")
	if all, err := Read(path); err != nil || len(all) != 0 {
		t.Fatalf("no file: %v %v", all, err)
	}
	t.Setenv(File, path)
	for _, r := range []Result{
		{Kind: Fault, Name: "R10", What: "pins deleted", Packets: 1_234_567},
		{Kind: Fault, Name: "R2", What: "killed", Packets: 100, Lost: 1},
		{Kind: Agreement, Name: "ipv4", What: "XDP, model", Count: 20, Packets: 1000},
	} {
		Record(t, r)
	}
	if err := Append(path, Result{Kind: "other"}); err == nil {
		t.Error("a kind that is none is kept")
	}
	all, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Write(&b, all); err != nil {
		t.Fatal(err)
	}
	want := `| | | count | packets | lost |
|---|---|---|---|---|
| agreement ipv4 | XDP, model | 20 | 1,000 | 0 |
| fault R2 | killed |  | 100 | 1 |
| fault R10 | pins deleted |  | 1,234,567 | 0 |
| all | 3 records | | 1,235,667 | 1 |
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
