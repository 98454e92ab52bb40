// Command weft is the router: the daemon, and the client that asks it.
//
// One command line: expand writes shortened commands in full; cobra finds the
// command and its flags; prepare enters the network namespace of -n, if the
// command needs more of it than its daemon; words reads iproute2's keywords; ask
// opens the daemon's socket; the answer becomes structs with iproute2's keys,
// which print themselves as JSON or as a line that ip takes. What fails becomes a
// failure: subject, cause, what to do, and the exit code.
//
// Commands see the process only through env, so that tests run them without root
// and without a process. A new command is a file with a function that returns
// its cobra.Command; TestEveryCommand says what it must have.
//
// Here are flags, wiring and printing. What is decided is decided in package
// control, what is known is asked of the daemon (package control/api).
package main
