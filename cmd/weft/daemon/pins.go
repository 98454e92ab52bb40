package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"weft/control/api"
	"weft/dataplane/xdp"
)

// keepPins sees to it that what forwards outlives this process, whatever others
// do to the bpffs: pins that were deleted are made again, on the bpffs that is
// mounted now.
func (r *router) keepPins() {
	root, now, err := xdp.Root()
	if err != nil {
		r.log.Error("look after pins: packets stop going by XDP when this process ends", "error", err)
		return
	}
	moved := !sameFile(now, r.bpffs)
	missing, err := r.engine.Repin(filepath.Join(root, pinsName, r.netns))
	if err != nil {
		r.log.Error("pin again what others have unpinned: packets stop going by XDP when this process ends", "error", err)
	}
	if len(missing) > 0 {
		r.log.Warn("pins were gone: pinned again", "pins", missing, "another_bpffs", moved)
		r.server.Note(api.EventPort, fmt.Sprintf("pins were gone, and are pinned again: %s", strings.Join(missing, " ")))
	}
	r.bpffs, now = now, r.bpffs
	now.Close()
}

func sameFile(a, b *os.File) bool {
	x, err := a.Stat()
	if err != nil {
		return false
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y)
}
