package conformance

import (
	"fmt"
	"testing"

	"weft/test/proof"
	"weft/test/root"
)

// TestClauses checks all clauses, and that they are those of the list.
func TestClauses(t *testing.T) {
	root.Require(t)
	all := Clauses()
	for i, c := range all {
		if c.Number != i+1 || c.Title == "" || c.RFC == "" || !c.applies() && c.Why == "" {
			t.Errorf("clause %d in place %d: %+v", c.Number, i+1, c)
		}
	}
	if len(all) != 100 {
		t.Errorf("%d clauses, want 100", len(all))
	}
	count := map[Outcome]uint64{}
	err := Run(t.Context(), all, func(v Verdict) error {
		count[v.Result]++
		if v.Result == Fail {
			t.Errorf("%d: %s (%s): %s", v.Clause, v.Title, v.RFC, v.Why)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	proof.Record(t, proof.Result{
		Kind: proof.Conformance, Name: "RFCs", Count: count[Pass],
		What: fmt.Sprintf("clauses that hold (%d do not apply yet)", count[NotApplicable]),
	})
}
