package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A write to a closed pipe is to fail, not to kill: 'weft routes | head' ends with 0.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	exit := command(ctx, processEnv(), os.Args[1:])
	stop()
	os.Exit(exit)
}

// command runs one command line and returns the exit code.
func command(ctx context.Context, e *env, args []string) int {
	root := newRoot(e)
	full, err := expand(root, args)
	if err == nil {
		root.SetArgs(full)
		err = root.ExecuteContext(ctx)
	}
	return report(e.stderr, err, e.json || wantsJSON(args))
}
