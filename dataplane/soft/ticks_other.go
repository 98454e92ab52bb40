//go:build !amd64

package soft

import "time"

var ticksBegan = time.Now()

func ticks() uint64 { return uint64(time.Since(ticksBegan)) }
