package main

import (
	"fmt"
	"os"
	"time"
)

// wantNothingLeft makes sure that weft stop has removed what was weft's.
func (s *show) wantNothingLeft() error {
	left, err := s.left()
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("weft stop has left %v", left)
	}
	return err
}

// summary removes everything and tells what was seen.
func (s *show) summary() error {
	if err := s.cleanUp(); err != nil {
		return err
	}
	f := &s.found
	s.act("What was measured here, on one core of this machine:")
	s.printf(`
                                          Linux           weft
         full table, all that goes    %11s    %11s    %.1f times
         %-22s %15.0f %%  %11.0f %%    of the core
         routes                       %d in the kernel after %.1f s; weft forwards by them %.1f s after its start
         daemon killed for %-4s       %d of %d packets lost

         Everything it made is removed. %.0f s.

         Try:  %s lab up two-hosts        the same hosts and router, for you to play with
               %s help
`,
		perSecond(f.linux), perSecond(f.weft), f.weft/f.linux,
		fmt.Sprintf("at %d,%03d a second", s.pace/1000, s.pace%1000), f.linuxCPU*100, f.weftCPU*100,
		f.routes, f.loadTime.Seconds(), f.learned.Seconds(),
		f.dead.Round(time.Second), f.killLost, f.killSent,
		time.Since(s.begin).Seconds(), relative(s.weft), relative(s.weft))
	if f.killLost > 0 {
		return fmt.Errorf("%d packets were lost while the daemon was dead: that must not be", f.killLost)
	}
	return nil
}

// relative is a path as one types it from the current directory, if it is below it.
func relative(path string) string {
	dir, err := os.Getwd()
	if err == nil && len(path) > len(dir) && path[:len(dir)+1] == dir+"/" {
		return path[len(dir)+1:]
	}
	return path
}
