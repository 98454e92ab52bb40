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
		err = r.engine.Replace(mem)
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
