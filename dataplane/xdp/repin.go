package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// pinned is a map or a link.
type pinned interface {
	Pin(path string) error
	Unpin() error
}

// pinned returns all that is to be pinned, by name. What has no handle is made anew.
func (e *Engine) pinned() map[string]pinned {
	maps := e.pins.maps
	all := map[string]pinned{
		currentPin: nil, filepath.Join(maps, aboutPin): nil, filepath.Join(maps, imagePin): e.image.Map(),
	}
	for name, m := range statePins(e.state) {
		all[filepath.Join(maps, name)] = *m
	}
	for number, p := range e.ports {
		if p.link != nil && !p.isTap() {
			all[linkPin(number)] = p.link
		}
	}
	for name, l := range e.watch.links {
		all[tracepointPins+name] = l
	}
	return all
}

// Repin pins again what is not pinned any more: someone has deleted pins, or
// unmounted the bpffs. What forwards does not notice, but it would end with this
// process. dir is the engine's directory, or that of another bpffs which has taken
// the place of the one that it was on. Other pins there stay as they are. It
// returns the names of what was missing. It costs a system call for each pin.
func (e *Engine) Repin(dir string) (missing []string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.pins.dir == "" || e.beside != nil {
		return nil, nil
	}
	old := e.pins.dir
	e.pins.dir = dir
	all := e.pinned()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if _, err := os.Lstat(e.pins.path(name)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, name)
		} else if err != nil {
			return nil, fmt.Errorf("look for pins: %w", err)
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	if err := e.pins.repin(all, missing); err != nil {
		return missing, fmt.Errorf("pin again in %s: %w", dir, err)
	}
	if !sameFile(old, dir) { // what is left there would outlive what Stop removes
		for name := range all {
			os.Remove(filepath.Join(old, name))
		}
		os.Remove(filepath.Join(old, e.pins.maps)) // they are empty, unless others have pinned there
		os.Remove(old)
	}
	return missing, nil
}

// repin is like create: a directory that has gone appears again with all of them.
func (p pins) repin(all map[string]pinned, missing []string) error {
	to, part := p, pins{p.dir + partSuffix, p.maps, p.about}
	if _, err := os.Stat(p.dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.RemoveAll(part.dir); err != nil {
			return err
		}
		to = part
	}
	if err := os.MkdirAll(to.path(p.maps), 0o700); err != nil {
		return err
	}
	for _, name := range missing {
		if err := to.pinOne(name, all[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if to == part {
		return os.Rename(part.dir, p.dir)
	}
	return nil
}

func (p pins) pinOne(name string, what pinned) error {
	switch {
	case name == currentPin:
		return p.commit()
	case what == nil:
		return p.pinAbout()
	}
	// Else it would be moved from where it is no more.
	if err := what.Unpin(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return what.Pin(p.path(name))
}
