package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// DefaultPrefix begins the names of a lab's namespaces when Options does not say otherwise.
const DefaultPrefix = "weft-lab-"

// Errors that callers tell apart.
var (
	ErrExists   = errors.New("there is a lab already")
	ErrNotFound = errors.New("there is no lab")
	ErrNode     = errors.New("the lab has no such node")
)

// Options of a lab. The zero value is usable.
type Options struct {
	// Prefix begins the names of all namespaces: lower case letters, digits and dashes, a dash last. Labs with
	// different prefixes do not touch each other. With "", DefaultPrefix.
	Prefix string
}

// Lab is a lab that is up. Its methods are safe for concurrent use.
type Lab struct {
	Topology
	prefix string
}

func stateDir(prefix string) string { return filepath.Join("/run", prefix+"state") }

const topologyFile = "topology.json"

// Up makes a topology, whole or not at all. It outlives the process: end it with Down. Needs root.
//
// Errors: ErrTopology, ErrExists, and whatever the kernel says.
func Up(ctx context.Context, t Topology, o Options) (*Lab, error) {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if err := errors.Join(t.check(), checkPrefix(o.Prefix)); err != nil {
		return nil, fmt.Errorf("lab up: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("lab up: needs root, to make network namespaces: try sudo")
	}
	if err := claim(o.Prefix); err != nil {
		return nil, fmt.Errorf("lab up: %w", err)
	}
	l := &Lab{t, o.Prefix}
	if err := l.build(ctx); err != nil {
		return nil, fmt.Errorf("lab up: %w", errors.Join(err, Down(o.Prefix)))
	}
	return l, nil
}

// claim takes a prefix: of two that try, one gets it.
func claim(prefix string) error {
	names, err := Namespaces(prefix)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		err = os.Mkdir(stateDir(prefix), 0o755)
	}
	switch {
	case len(names) > 0:
		return fmt.Errorf("%w: network namespace %s: end it with 'weft lab down'", ErrExists, names[0])
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: directory %s: end it with 'weft lab down'", ErrExists, stateDir(prefix))
	case err != nil:
		return fmt.Errorf("make state directory: %w", err)
	}
	return nil
}

func (l *Lab) build(ctx context.Context) error {
	handles := map[string]netns.NsHandle{}
	for _, n := range l.Nodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := makeNamespace(l.Namespace(n.Name)); err != nil {
			return err
		}
		h, err := netns.GetFromPath(l.path(n.Name))
		if err != nil {
			return fmt.Errorf("open network namespace of %s: %w", n.Name, err)
		}
		defer h.Close()
		handles[n.Name] = h
		err = l.In(n.Name, func() error { return errors.Join(setSysctls(sysctls(n.Router)), l.setUpLoopback(n)) })
		if err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	for _, link := range l.Links {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := makeLink(link, handles[link.A.Node], handles[link.B.Node]); err != nil {
			return err
		}
	}
	for _, n := range l.Nodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.In(n.Name, func() error { return l.setUp(n.Name) }); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	b, err := json.Marshal(l.Topology)
	if err == nil {
		err = os.WriteFile(filepath.Join(stateDir(l.prefix), topologyFile), b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep topology: %w", err)
	}
	return nil
}

// setUp works on the calling thread's namespace, which is the node's.
func (l *Lab) setUp(node string) error {
	for _, link := range l.Links {
		for _, e := range []End{link.A, link.B} {
			if e.Node == node {
				if err := setUpEnd(e); err != nil {
					return err
				}
			}
		}
	}
	return l.addRoutes(node)
}

// Open returns the lab with a prefix that is up. With "", that of DefaultPrefix.
//
// Errors: ErrNotFound.
func Open(prefix string) (*Lab, error) {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	if err := checkPrefix(prefix); err != nil {
		return nil, fmt.Errorf("open lab: %w", err)
	}
	l := &Lab{prefix: prefix}
	b, err := os.ReadFile(filepath.Join(stateDir(prefix), topologyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open lab: %w: no network namespaces %s*: make it with 'weft lab up two-hosts'", ErrNotFound, prefix)
	}
	if err == nil {
		err = json.Unmarshal(b, &l.Topology)
	}
	if err != nil {
		return nil, fmt.Errorf("open lab: %w", err)
	}
	return l, nil
}

// Prefix returns what the names of the lab's namespaces begin with.
func (l *Lab) Prefix() string { return l.prefix }

// Namespace returns the name of a node's network namespace, for `ip -n` and `ip netns exec`.
func (l *Lab) Namespace(node string) string { return l.prefix + node }

func (l *Lab) path(node string) string { return filepath.Join(namespaceDir, l.Namespace(node)) }

func (l *Lab) has(node string) error {
	for _, n := range l.Nodes {
		if n.Name == node {
			return nil
		}
	}
	return fmt.Errorf("%w: %q; it has %s", ErrNode, node, strings.Join(append(l.Hosts(), l.Routers()...), ", "))
}

// In runs f on a thread in a node's network namespace and returns what it returns. Sockets, maps and links that f opens
// stay in that namespace; goroutines that it starts do not.
//
// Errors: ErrNode.
func (l *Lab) In(node string, f func() error) error {
	if err := l.has(node); err != nil {
		return err
	}
	return onThread(l.path(node), f)
}

// Down removes the lab. See the function Down.
func (l *Lab) Down() error { return Down(l.prefix) }

// Times that Down gives processes: to end as asked, and to be gone when they are killed.
const (
	patience = 3 * time.Second
	burial   = 5 * time.Second
)

// Down ends the processes in the namespaces of the lab with a prefix, and removes the namespaces, with all links, and
// the state. What is not there is no error. It removes nothing that weft has pinned: `weft stop` in each namespace of a
// router does, before.
func Down(prefix string) error {
	if err := down(prefix); err != nil {
		return fmt.Errorf("lab down: %w", err)
	}
	return nil
}

func down(prefix string) error {
	names, err := Namespaces(prefix)
	if err != nil {
		return err
	}
	if err := notInside(names); err != nil {
		return err
	}
	in, err := identities(names)
	if err != nil {
		return err
	}
	if err := endProcesses(in, step{unix.SIGTERM, patience}, step{unix.SIGKILL, burial}); err != nil {
		return err
	}
	for _, name := range names {
		err = errors.Join(err, removeNamespace(name))
	}
	err = errors.Join(err, endProcesses(in, step{unix.SIGKILL, burial})) // those that have come in meanwhile
	if err != nil {
		return err
	}
	return errors.Join(removeScratch(prefix), os.RemoveAll(stateDir(prefix)))
}

// notInside refuses to end the process that asks, and its shell.
func notInside(names []string) error {
	here, err := identify("/proc/self/ns/net")
	if err != nil {
		return err
	}
	for _, name := range names {
		if there, err := identify(filepath.Join(namespaceDir, name)); err == nil && here == there {
			return fmt.Errorf("this process is in %s itself: leave it first", name)
		}
	}
	return nil
}
