package peer

import "testing"

func TestMaskOf(t *testing.T) {
	for cpu, want := range map[int]string{0: "1", 3: "8", 31: "80000000", 32: "1,00000000", 70: "40,00000000,00000000"} {
		if got := maskOf(cpu); got != want {
			t.Errorf("CPU %d is %q, want %q", cpu, got, want)
		}
	}
}
