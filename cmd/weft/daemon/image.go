package daemon

import (
	"errors"

	"weft/bpf"
	"weft/fib"
)

// grow makes a larger image beside the full one and takes the ports over to it.
func (r *router) grow(im *fib.Image, size int) (*fib.Image, error) {
	if size = r.imageSize(size); size <= im.Size() {
		return nil, errFIBSize
	}
	mem, err := bpf.NewImage(size)
	if err != nil {
		return nil, err
	}
	// gofail: var growMade struct{}
	larger, err := im.CopyTo(mem.Mem(), r.imageOptions(mem))
	// gofail: var growCopied struct{}
	if err == nil {
		err = r.engine.Replace(mem, larger)
	}
	if err != nil {
		return nil, errors.Join(err, mem.Close())
	}
	// gofail: var growReplaced struct{}
	old := r.mem
	r.mem = mem
	return larger, old.Close()
}

// imageSize returns the size of an image that is to hold size bytes, if it may be
// so large.
func (r *router) imageSize(size int) int {
	size = bpf.ImageSize(size)
	if limit := r.options.FIBSize; limit > 0 && size > limit {
		size = max(fib.MinSize, bpf.ImageSize(limit/2+1)) // a power of two
	}
	return size
}

// notInstalled is told how many routes the image lacks, whose packets Linux gets.
// If others would go astray, it gets all of them until there is room.
func (r *router) notInstalled(routes int, astray bool) {
	if lacking := routes > 0; lacking != r.lacking {
		r.lacking = lacking
		if lacking {
			r.log.Error("the FIB is full and cannot grow: Linux forwards what does not fit", "routes_not_installed", routes)
		} else {
			r.log.Info("the FIB has room for all routes again")
		}
	}
	if astray == r.astray {
		return
	}
	r.astray = astray
	if astray {
		r.log.Error("the FIB has no room for changes: Linux forwards all until there is", "routes_not_installed", routes)
		r.ports.Release(true)
	} // else at the next retry, when the routes over the ports are brought up to date
}
