// Soak compares forwarders on 100,000,000 packets, or as many as it is told: what the
// test of package agreement does, for longer.
//
// Usage, as root:
//
//	go run ./test/agreement/soak [-packets n] [-seed n] [-progress file] [-save directory]
//
// What is done stands in the progress file after each State. A soak that was
// interrupted, by Ctrl-C or by kill -9, goes on from there when it is started again;
// a file of one that has come to its end starts a new one, with States not seen yet.
// It ends with 1 if forwarders have differed, and saves the packets by which they do.
//
// Each packet is counted once by each engine, under one reason and with all its bytes:
// a test run that is not ends the soak (received = forwarded + punted + dropped).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/agreement"
	"weft/test/proof"
)

func main() {
	packets := flag.Uint64("packets", 100_000_000, "how many to compare")
	seed := flag.Uint64("seed", 1, "of a soak that begins")
	path := flag.String("progress", "build/soak.json", "what has been done")
	save := flag.String("save", "build/agreement", "where divergences go")
	flag.Parse()
	err := soak(*packets, *seed, *path, *save)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

var (
	errInterrupted = errors.New("interrupted: start it again to go on")
	errDiffer      = errors.New("forwarders differ")
)

func soak(packets, seed uint64, path, save string) error {
	c, err := agreement.Resume(path, seed, packets)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, cancel) // the second signal ends it at once
	t, err := agreement.NewTable()
	if err != nil {
		return err
	}
	var found []agreement.Divergence
	c.Divergence = func(d agreement.Divergence) { found = append(found, d) }
	start, before := time.Now(), c.Packets
	err = c.Run(ctx, t, packets, func() error {
		rate := float64(c.Packets-before) / time.Since(start).Seconds()
		left := time.Duration(float64(packets-c.Packets) / rate * float64(time.Second))
		fmt.Fprintf(os.Stderr, "\r%d of %d packets, %d states, %d differ, %.0f packets/s, %v left   ",
			c.Packets, packets, c.Rounds, c.Divergent, rate, left.Round(time.Second))
		return errors.Join(c.Store(path), keep(t, &found, save))
	})
	fmt.Fprintln(os.Stderr)
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	if err == nil {
		err = told(c)
	}
	return errors.Join(err, t.Close())
}

// keep saves what has been found, small.
func keep(t *agreement.Table, found *[]agreement.Divergence, dir string) error {
	for _, d := range *found {
		small, err := t.Shrink(d)
		if err != nil {
			fmt.Fprintf(os.Stderr, "\nshrink: %v\n", err)
		}
		path, err := small.Save(dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "\n%s\nsaved: %s\n", small.String(), path)
	}
	*found = nil
	return nil
}

// told prints what a soak has come to.
func told(c *agreement.Campaign) error {
	fmt.Print(c.Tally)
	if c.Divergent > 0 {
		return fmt.Errorf("%w on %d of %d packets", errDiffer, c.Divergent, c.Packets)
	}
	path := os.Getenv(proof.File)
	if path == "" {
		return nil
	}
	return proof.Append(path, proof.Result{
		Kind: proof.Soak, Name: "agreement", What: "model, Linux and the engine's variants in random states", Count: c.Rounds, Packets: c.Packets,
	})
}
