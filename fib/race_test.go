//go:build race

package fib

// raceEnabled makes the long random tests shorter: the race detector slows
// them down by 50, and only those with several goroutines tell it anything.
const raceEnabled = true
