package upgrade

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"weft/test/star"
)

var (
	writeTo   = flag.String("write", "", "directory to write a fixture of this code's pins to")
	format    = flag.Int("format", 0, "format of the pins of this code, for -write")
	ofCommit  = flag.String("commit", "", "commit of this code, for -write")
	bpfObject = []string{"weft", "tc", "xmit"}
)

// TestWriteFixture makes a fixture: what a daemon of this code leaves that forwards
// by three ports and is killed. testdata/README.md tells when and how it is run.
func TestWriteFixture(t *testing.T) {
	if *writeTo == "" {
		t.Skip("-write names no directory")
	}
	n := newNetwork(t)
	n.Run()
	addRoutes(n)
	n.Resolve()
	forwards(n)
	s := n.Stream(destinations...)
	s.Burst(1 << 12)
	s.WantAll()
	n.Signal(unix.SIGKILL)

	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Format: *format, Commit: *ofCommit, CPUs: cpus, Ifaces: map[string]int{}}
	for _, name := range []string{"to-h1", "to-h2", "to-h3"} {
		f.Ifaces[name] = n.Link("r1", name).Attrs().Index
	}
	n.Pins(func(dir string) { f.read(n, dir) })
	f.save(t, *writeTo)
	for _, name := range bpfObject {
		content, err := os.ReadFile(filepath.Join("../../bpf", name+"_bpfel.o"))
		if err != nil {
			t.Fatal(err)
		}
		squeeze(t, filepath.Join(*writeTo, object(name)), content)
	}
}

// read takes what is pinned.
func (f *fixture) read(n *star.Network, dir string) {
	n.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		pin := strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		switch {
		case err != nil || e.IsDir():
			return err
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			f.Leads = append(f.Leads, pinnedSymlink{pin, target})
			return err
		}
		m, err := ebpf.LoadPinnedMap(path, nil)
		if errors.Is(err, unix.EINVAL) || err != nil {
			return f.readLink(path, pin)
		}
		defer m.Close()
		info, err := m.Info()
		if err != nil {
			return err
		}
		f.Maps = append(f.Maps, pinnedMap{pin, info.Name, m.Type(), m.KeySize(), m.ValueSize(), m.MaxEntries(), m.Flags(), entriesOf(n, m)})
		return nil
	})
	if err != nil {
		n.Fatal(err)
	}
}

func (f *fixture) readLink(path, pin string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return err
	}
	prog, err := ebpf.NewProgramFromID(info.Program)
	if err != nil {
		return err
	}
	defer prog.Close()
	of, err := prog.Info()
	if err != nil {
		return err
	}
	p := pinnedLink{Pin: pin, Program: of.Name}
	switch {
	case info.XDP() != nil:
		p.Type, p.Ifindex = "xdp", int(info.XDP().Ifindex)
	case info.TCX() != nil:
		p.Type, p.Ifindex = "tcx", int(info.TCX().Ifindex)
	case info.RawTracepoint() != nil:
		p.Type = "raw_tracepoint"
	}
	f.Links = append(f.Links, p)
	return nil
}
