// Package failpoints kills weft at named places, and lets calls of it fail.
//
// A failpoint is a comment in the source, "// gofail: var name struct{}", at a place
// where a process that dies leaves something half done: go.etcd.io/gofail makes a
// call of it. The tests do so in a copy of the tree and build the program from that;
// what everybody else builds has comments only.
//
// TestFailpoints stops the daemon at each of them in turn, under traffic, kills it
// there (SIGKILL), and starts another one, which takes over what it finds. Then FIB
// and kernel agree, and no packet is lost. stops_test.go says how each place
// is reached; one that is never reached, or that no line stands for, is a failure.
//
// The tests of errors let system calls fail by strace(1), at the start and while the
// daemon works: it tries again, takes back what it began or refuses with a reason,
// and goes on forwarding.
package failpoints
