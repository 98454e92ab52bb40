package trace

import (
	"testing"

	"weft/test/star"
)

func TestMain(m *testing.M) { star.Main(m) }
