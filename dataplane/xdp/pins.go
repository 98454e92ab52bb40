package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"weft/bpf"
)

// Names of pins.
const (
	imagePin     = "image"
	imageNextPin = "image_next"
	linkPins     = "link_"
	partSuffix   = "_part" // of a directory that is not complete; bpffs takes no dots

	tracepointPins = "tracepoint_"
	nextSuffix     = "_next" // of what is to take the place of another
)

// pins is a directory of pins, in which the engine's maps have one of their own. The
// empty one pins nothing.
type pins struct {
	dir   string
	maps  string // name of the directory of maps
	about about  // of those
}

func (p pins) path(names ...string) string {
	return filepath.Join(append([]string{p.dir}, names...)...)
}

func statePins(s *bpf.State) map[string]**ebpf.Map {
	return map[string]**ebpf.Map{"ports": &s.Ports, "counters": &s.Counters, "trace": &s.Trace, "tx_ports": &s.TxPorts, "transmits": &s.Transmits, "vlans": &s.VLANs}
}

// create pins maps in a directory of pins that is new, so that it appears with all
// of them or not at all. What a process left that died doing so is removed.
func (p pins) create(im *bpf.Image, s *bpf.State) error {
	if p.dir == "" {
		return nil
	}
	if _, err := os.Stat(p.dir); err == nil {
		return fmt.Errorf("%s: %w", p.dir, ErrExists)
	}
	part := pins{p.dir + partSuffix, p.maps, p.about}
	if err := os.RemoveAll(part.dir); err != nil {
		return fmt.Errorf("remove unfinished pins: %w", err)
	}
	err := part.createMaps(im, s)
	if err == nil {
		err = part.commit()
	}
	// gofail: var pinsStatePinned struct{}
	if err == nil {
		err = os.Rename(part.dir, p.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("pin maps in %s: %w", p.dir, err), os.RemoveAll(part.dir))
	}
	// gofail: var pinsCreated struct{}
	return nil
}

// createMaps makes the directory of maps.
func (p pins) createMaps(im *bpf.Image, s *bpf.State) error {
	if err := os.RemoveAll(p.path(p.maps)); err != nil {
		return fmt.Errorf("remove unfinished pins: %w", err)
	}
	if err := os.MkdirAll(p.path(p.maps), 0o700); err != nil {
		return fmt.Errorf("make directory of pins: %w", err)
	}
	// gofail: var pinsPartMade struct{}
	err := errors.Join(p.pinAbout(), im.Map().Pin(p.path(p.maps, imagePin)))
	// gofail: var pinsImagePinned struct{}
	for name, m := range statePins(s) {
		err = errors.Join(err, (*m).Pin(p.path(p.maps, name)))
	}
	return err
}

// pinAbout makes the map that tells other formats of the maps.
func (p pins) pinAbout() error {
	m, err := newAbout(p.about)
	if err != nil {
		return err
	}
	return errors.Join(m.Pin(p.path(p.maps, aboutPin)), m.Close())
}

// commit makes the maps those that are forwarded by.
func (p pins) commit() error {
	next := p.path(currentPin + nextSuffix)
	if err := os.RemoveAll(next); err != nil {
		return fmt.Errorf("remove unfinished pin: %w", err)
	}
	if err := os.Symlink(p.maps, next); err != nil {
		return fmt.Errorf("pin what is forwarded by: %w", err)
	}
	return os.Rename(next, p.path(currentPin))
}

// sweep removes what is not of the engine's maps: those before them, and those that
// were not finished.
func (p pins) sweep(tracepoints []string) error {
	if p.dir == "" {
		return nil
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return fmt.Errorf("list pins: %w", err)
	}
	var errs []error
	for _, e := range entries {
		name := e.Name()
		tracepoint, ok := strings.CutPrefix(name, tracepointPins)
		switch {
		case e.IsDir() && formatOf(name) != 0 && name != p.maps:
			errs = append(errs, p.removeMaps(name))
		case slices.Contains(format1Pins, name), name == currentPin+nextSuffix, ok && !slices.Contains(tracepoints, tracepoint):
			errs = append(errs, os.Remove(p.path(name)))
		}
	}
	return errors.Join(errs...)
}

// removeMaps removes a directory of maps: first what makes it count.
func (p pins) removeMaps(dir string) error {
	err := os.Remove(p.path(dir, "counters"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(p.path(dir)))
}

// open loads what create pinned. image_next, when it is there, is complete: a
// process died while links were on their way to it.
//
// Errors: ErrLayout.
func (p pins) open() (_ *bpf.Image, _ *bpf.State, err error) {
	if err := os.Rename(p.path(p.maps, imageNextPin), p.path(p.maps, imagePin)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("finish replacing the image: %w", err)
	}
	s := new(bpf.State)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	for name, m := range statePins(s) {
		if *m, err = ebpf.LoadPinnedMap(p.path(p.maps, name), nil); err != nil {
			return nil, nil, fmt.Errorf("open pinned map: %w: %s: %w", ErrLayout, name, err)
		}
	}
	// gofail: var pinsOpened struct{}
	m, err := ebpf.LoadPinnedMap(p.path(p.maps, imagePin), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("open pinned image: %w: %w", ErrLayout, err)
	}
	im, err := bpf.OpenImage(m)
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	return im, s, nil
}

// links loads the pinned links, by port number.
//
// Errors: ErrForeignPin.
func (p pins) links() (map[uint32]link.Link, error) {
	all := map[uint32]link.Link{}
	if p.dir == "" {
		return all, nil
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, fmt.Errorf("list pins: %w", err)
	}
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), linkPins)
		number, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil {
			continue
		}
		l, err := link.LoadPinnedLink(p.path(e.Name()), nil)
		if err != nil {
			closeLinks(all)
			return nil, fmt.Errorf("open pinned link: %w: %w", ErrForeignPin, err)
		}
		all[uint32(number)] = l
	}
	return all, nil
}

func closeLinks(all map[uint32]link.Link) {
	for _, l := range all {
		l.Close()
	}
}

func linkPin(number uint32) string { return linkPins + strconv.FormatUint(uint64(number), 10) }

func (p pins) pinLink(number uint32, l link.Link) error {
	if p.dir == "" {
		return nil
	}
	// gofail: var linkPinning struct{}
	return l.Pin(p.path(linkPin(number)))
}

// unpinLink goes by the name: pins may have been moved since they were made.
func (p pins) unpinLink(number uint32) error {
	if p.dir == "" {
		return nil
	}
	if err := os.Remove(p.path(linkPin(number))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove pin: %w", err)
	}
	return nil
}

// replaceImage runs swap, which takes all links to another image, such that a
// process that dies at any point leaves pins that open completes.
func (p pins) replaceImage(im *bpf.Image, swap func() error) error {
	if p.dir == "" {
		return swap()
	}
	next, now := p.path(p.maps, imageNextPin), p.path(p.maps, imagePin)
	if err := im.Map().Pin(next); err != nil {
		return fmt.Errorf("pin image: %w", err)
	}
	// gofail: var imageNextPinned struct{}
	if err := swap(); err != nil {
		return errors.Join(err, im.Map().Unpin())
	}
	// gofail: var imageSwapped struct{}
	if err := os.Rename(next, now); err != nil {
		return fmt.Errorf("pin image: %w", err)
	}
	// gofail: var imageReplaced struct{}
	return nil
}

// remove takes the directory away as a whole, as create makes it: one with some of
// the pins could not be opened.
func (p pins) remove() error {
	if p.dir == "" {
		return nil
	}
	part := p.dir + partSuffix
	// gofail: var pinsRemove struct{}
	err := os.RemoveAll(part)
	if err == nil {
		err = os.Rename(p.dir, part)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	// gofail: var pinsMoved struct{}
	return errors.Join(err, os.RemoveAll(p.dir), os.RemoveAll(part))
}
