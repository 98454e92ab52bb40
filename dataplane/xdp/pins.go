package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// pins is a directory of pins. The empty one pins nothing.
type pins struct{ dir string }

func (p pins) path(name string) string { return filepath.Join(p.dir, name) }

func statePins(s *bpf.State) map[string]**ebpf.Map {
	return map[string]**ebpf.Map{"ports": &s.Ports, "counters": &s.Counters, "trace": &s.Trace, "tx_ports": &s.TxPorts, "transmits": &s.Transmits, "vlans": &s.VLANs}
}

// create pins maps, so that the directory appears with all of them or not at
// all. What a process left that died doing so is removed.
func (p pins) create(im *bpf.Image, s *bpf.State) error {
	if p.dir == "" {
		return nil
	}
	if _, err := os.Stat(p.dir); err == nil {
		return fmt.Errorf("%s: %w", p.dir, ErrExists)
	}
	part := p.dir + partSuffix
	if err := os.RemoveAll(part); err != nil {
		return fmt.Errorf("remove unfinished pins: %w", err)
	}
	if err := os.MkdirAll(part, 0o700); err != nil {
		return fmt.Errorf("make directory of pins: %w", err)
	}
	// gofail: var pinsPartMade struct{}
	err := im.Map().Pin(filepath.Join(part, imagePin))
	// gofail: var pinsImagePinned struct{}
	for name, m := range statePins(s) {
		err = errors.Join(err, (*m).Pin(filepath.Join(part, name)))
	}
	// gofail: var pinsStatePinned struct{}
	if err == nil {
		err = os.Rename(part, p.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("pin maps in %s: %w", p.dir, err), os.RemoveAll(part))
	}
	// gofail: var pinsCreated struct{}
	return nil
}

// open loads what create pinned. image_next, when it is there, is complete: a
// process died while links were on their way to it.
func (p pins) open() (_ *bpf.Image, _ *bpf.State, err error) {
	if _, err := os.Stat(p.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s: %w", p.dir, ErrNotFound)
	}
	if err := os.Rename(p.path(imageNextPin), p.path(imagePin)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("finish replacing the image: %w", err)
	}
	s := new(bpf.State)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	for name, m := range statePins(s) {
		*m, err = ebpf.LoadPinnedMap(p.path(name), nil)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("open pinned map: %w: there is no %s", ErrLayout, name)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("open pinned map: %w", err)
		}
	}
	// gofail: var pinsOpened struct{}
	m, err := ebpf.LoadPinnedMap(p.path(imagePin), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("open pinned image: %w", err)
	}
	im, err := bpf.OpenImage(m)
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	return im, s, nil
}

// links loads the pinned links, by port number.
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
			return nil, fmt.Errorf("open pinned link: %w", err)
		}
		all[uint32(number)] = l
	}
	return all, nil
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
	if err := im.Map().Pin(p.path(imageNextPin)); err != nil {
		return fmt.Errorf("pin image: %w", err)
	}
	// gofail: var imageNextPinned struct{}
	if err := swap(); err != nil {
		return errors.Join(err, im.Map().Unpin())
	}
	// gofail: var imageSwapped struct{}
	if err := os.Rename(p.path(imageNextPin), p.path(imagePin)); err != nil {
		return fmt.Errorf("pin image: %w", err)
	}
	// gofail: var imageReplaced struct{}
	return nil
}

// unpinTracepoints removes the pins of programs at tracepoints.
func (p pins) unpinTracepoints() error {
	if p.dir == "" {
		return nil
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return fmt.Errorf("list pins: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tracepointPins) {
			err = errors.Join(err, os.Remove(p.path(e.Name())))
		}
	}
	return err
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
