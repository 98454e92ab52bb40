package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"weft/control/config"
	"weft/test/lab"
)

// labOptions is what the command line says of a lab.
type labOptions struct {
	prefix, routing string
	kernel          bool
}

// topology is the one that is asked for, with its routing.
func (o labOptions) topology(args []string) (lab.Topology, error) {
	t, err := lab.Parse(args)
	if err != nil {
		return t, usage("lab: "+err.Error(), "see 'weft lab up --help'")
	}
	routing := lab.Static
	switch {
	case o.routing != "":
		if routing, err = lab.ParseRouting(o.routing); err != nil {
			return t, usage("--routing "+o.routing+": no such routing", meant(o.routing, lab.Routings(), "want bgp, frr or static"))
		}
	case args[0] == "leaf-spine" && !o.kernel:
		routing = lab.BGP
	}
	if routing == lab.BGP && o.kernel {
		return t, usage("--kernel: without weft, there is no BGP of weft", "try '--routing frr' or '--routing static'")
	}
	if routing == lab.FRR {
		if err := lab.HasFRR(); err != nil {
			return t, labFailure(err)
		}
	}
	if routing != lab.Static {
		t = t.Unnumbered(routing)
	}
	return t, nil
}

func (e *env) labUp(ctx context.Context, args []string, o labOptions) error {
	t, err := o.topology(args)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "weft: making %s: %d network namespaces, %d links\n", t.Name, len(t.Nodes), len(t.Links))
	l, err := lab.Up(ctx, t, lab.Options{Prefix: o.prefix})
	if err != nil {
		return labFailure(err)
	}
	var converged error
	if err = e.labDaemons(ctx, l, !o.kernel, l.Routers()...); err == nil {
		converged = e.labConverge(ctx, l)
	}
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return errors.Join(err, e.labDown(context.WithoutCancel(ctx), o.prefix)) // all or nothing
	}
	checked := e.labCheck(ctx, l)
	fmt.Fprintln(e.stderr, "weft: try")
	for _, line := range l.Try() {
		fmt.Fprintln(e.stderr, "  "+line)
	}
	return errors.Join(converged, checked)
}

// labDaemons starts what routers need.
func (e *env) labDaemons(ctx context.Context, l *lab.Lab, weft bool, routers ...string) error {
	for i, router := range routers {
		if !weft {
			break
		}
		fmt.Fprintf(e.stderr, "weft: starting weft in %s (%d of %d)\n", l.Namespace(router), i+1, len(routers))
		args, err := l.WeftArguments(router)
		if err == nil {
			err = self(ctx, append([]string{"-n", l.Namespace(router), "run", "--detach"}, args...)...)
		}
		if err != nil {
			return fmt.Errorf("lab: start weft in %s: %w", l.Namespace(router), err)
		}
	}
	if l.Routing != lab.FRR {
		return nil
	}
	fmt.Fprintf(e.stderr, "weft: starting FRR in %s\n", count(len(routers), "router"))
	if err := l.StartFRR(ctx, routers...); err != nil {
		return labFailure(err)
	}
	return nil
}

// convergeFor is how long routes may take, on a busy machine with dozens of routers.
const convergeFor = 2 * time.Minute

// labConverge waits until all routers have all routes.
func (e *env) labConverge(ctx context.Context, l *lab.Lab) error {
	ctx, cancel := context.WithTimeout(ctx, convergeFor)
	defer cancel()
	begin, told := e.now(), time.Time{}
	err := l.Converge(ctx, func(p lab.Progress) {
		done := p.Routes == p.WantRoutes && p.Sessions == p.WantSessions
		if now := e.now(); p.WantSessions > 0 && (done || now.Sub(told) >= time.Second) {
			told = now
			fmt.Fprintf(e.stderr, "weft: %d of %d routes to hosts, %d of %d BGP sessions (%.1f s)\n",
				p.Routes, p.WantRoutes, p.Sessions, p.WantSessions, now.Sub(begin).Seconds())
		}
	})
	return labFailure(err)
}

func (e *env) labStart(ctx context.Context, l *lab.Lab, weft bool, node string) error {
	if err := l.Connect(node); err != nil {
		return labFailure(err)
	}
	if slices.Contains(l.Routers(), node) {
		if err := e.labDaemons(ctx, l, weft, node); err != nil {
			return err
		}
	}
	return e.labConverge(ctx, l)
}

// labDown gives ports back before their namespaces go, so that nothing is left of
// what they have pinned and kept.
func (e *env) labDown(ctx context.Context, prefix string) error {
	names, err := lab.Namespaces(prefix)
	if err != nil {
		return labFailure(err)
	}
	var errs []error
	for _, name := range names {
		if err := e.labStop(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("lab: stop weft in %s: %w", name, err))
		}
	}
	if err := lab.Down(prefix); err != nil {
		errs = append(errs, labFailure(err))
	}
	if len(errs) == 0 {
		fmt.Fprintf(e.stderr, "weft: removed %s\n", count(len(names), "network namespace"))
	}
	return errors.Join(errs...)
}

// labStop stops weft in a namespace, also one that does not answer, and removes what
// it keeps.
func (e *env) labStop(ctx context.Context, namespace string) error {
	stop := func() error { return self(ctx, "-n", namespace, "stop") }
	err := stop()
	if err != nil {
		if err = lab.KillProcesses(namespace); err == nil {
			err = stop()
		}
	}
	number, e2 := inode(filepath.Join(e.netnsDir, namespace))
	if e2 == nil {
		e2 = config.Forget(number)
	}
	return errors.Join(err, e2)
}

// self runs this program with other arguments.
func self(ctx context.Context, args ...string) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func labFailure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, lab.ErrExists):
		return fail(codeFailed, "lab: "+err.Error(), "'weft lab down' removes it, or choose another --prefix")
	case errors.Is(err, lab.ErrNotFound):
		return fail(codeNotFound, "lab: "+err.Error(), "'weft lab up two-hosts' makes one")
	case errors.Is(err, lab.ErrNoFRR):
		return fail(codeFailed, "lab: "+err.Error(), "'apt-get install frr' installs Debian's package")
	case errors.Is(err, lab.ErrNode):
		return fail(codeNotFound, "lab: "+err.Error(), "")
	case errors.Is(err, os.ErrPermission):
		return fail(codePermission, "lab: "+err.Error(), "try 'sudo weft lab'")
	}
	return fmt.Errorf("lab: %w", err)
}
