package fib

// hasRoom tells whether so much memory is free. It takes back what readers have
// left, if need be, and waits for them.
func (im *Image) hasRoom(bytes int) bool {
	for _, wait := range []bool{false, true} {
		if unitSize*int(im.alloc.units-im.alloc.used) >= bytes {
			return true
		}
		im.reclaim(wait)
	}
	return unitSize*int(im.alloc.units-im.alloc.used) >= bytes
}

// hasRoomForRoute and hasRoomForGroup leave more for what comes later in this
// order: routes, then groups and adjacencies, then changes of what there is.
func (im *Image) hasRoomForRoute() bool { return im.hasRoom(im.opts.Reserve) }

func (im *Image) hasRoomForGroup() bool { return im.hasRoom(im.opts.Reserve / 2) }

// trim deletes the last of sorted routes until there is room for changes.
func (t Table) trim(all []route) (deleted int, err error) {
	for n := len(all); !t.im.hasRoomForRoute() && n > 0; {
		for least := n - len(all)/trimParts - 1; n > max(least, 0); n-- {
			if err := t.delete(&all[n-1]); err != nil {
				return deleted, err
			}
			deleted++
		}
	}
	return deleted, nil
}

// trimParts is how many looks it takes at most: each may wait for readers.
const trimParts = 64
