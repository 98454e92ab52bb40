package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/cilium/ebpf"

	"weft/cmd/weft/daemon"
	"weft/control/api"
	"weft/control/config"
	"weft/dataplane"
	"weft/dataplane/xdp"
)

// runDaemon forwards: SIGINT, as of Ctrl-C, gives the ports back to Linux;
// SIGTERM ends the process and leaves packets forwarded, as a restart wants.
func runDaemon(ctx context.Context, e *env, o runOptions) error {
	if o.detach {
		return detach(ctx, e, o)
	}
	out := e.stderr
	if o.log != "" {
		f, err := os.OpenFile(o.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return fmt.Errorf("run: open log: %w", err)
		}
		defer f.Close()
		out = f
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	report := daemon.Report()
	engine, enginePorts := o.wantedEngine()
	if engine == dataplane.XDP.String() {
		engine = string(dataplane.XDP)
	}
	err := daemon.Run(signals, daemon.Options{
		Ports: o.ports, Mode: dataplane.Mode(o.wantedMode()), Engine: dataplane.Name(engine), EnginePorts: enginePorts, Loops: o.loops, ReceiveBuffer: o.receiveBuffer, FIBSize: o.fibSize << 20, Socket: e.socket, Config: o.config,
		FPM: daemon.FPM{Address: o.fpmAddress, Acknowledge: o.fpmAck}, Version: e.version, Log: slog.New(slog.NewTextHandler(out, nil)), Ready: func() { report(nil) },
	})
	err = daemonFailure("run", err)
	report(err)
	return err
}

// detach starts the daemon in the background and waits until it forwards.
func detach(ctx context.Context, e *env, o runOptions) error {
	netns, err := e.ownNetns()
	if err != nil {
		return err
	}
	log := o.log
	if log == "" {
		if err := os.MkdirAll(api.Directory, 0o755); err != nil {
			return fmt.Errorf("run: make directory of the log: %w", err)
		}
		log = api.LogPath(netns)
	}
	if err := daemon.Detach(ctx, o.arguments(e), log); err != nil {
		return daemonFailure("run", err)
	}
	fmt.Fprintf(e.stderr, "weft: forwarding in the background; the log is %s, 'weft stop' ends it\n", log)
	return nil
}

func stopDaemon(ctx context.Context, e *env) error {
	err := daemon.Stop(ctx, e.socket)
	if errors.Is(err, daemon.ErrNothing) { // as was wanted
		fmt.Fprintln(e.stderr, "weft:", err)
		return nil
	}
	return daemonFailure("stop", err)
}

// daemonFailure says what to do about an error of the daemon.
func daemonFailure(command string, err error) error {
	var ended *daemon.EndedError
	var mistakes config.Errors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mistakes):
		return err // they begin with the file's name
	case errors.As(err, &ended):
		if ended.Code == exits[codePermission] {
			return fail(codePermission, ended.Reason, "")
		}
		return fail(codeFailed, ended.Reason, "") // which is whole: subject, cause and remedy
	case errors.Is(err, xdp.ErrProgram):
		return fail(codeFailed, command+": "+err.Error(), remedyRefused(err))
	case errors.Is(err, daemon.ErrPermission), errors.Is(err, os.ErrPermission):
		return fail(codePermission, command+": "+err.Error(), "try 'sudo weft "+command+"'")
	case errors.Is(err, api.ErrInUse):
		return fail(codeFailed, command+": "+err.Error(), "'weft status' asks it, 'weft stop' ends it")
	}
	return fmt.Errorf("%s: %w", command, err)
}

// remedyRefused says what there is to do about a program that the kernel refuses. What
// forwarded before goes on.
func remedyRefused(err error) string {
	var verifier *ebpf.VerifierError
	switch {
	case errors.As(err, &verifier) && len(verifier.Log) > 0:
		return "nothing has changed; the log has what the kernel's verifier said: report it, and run the version before"
	case errors.Is(err, syscall.ENOMEM):
		return "nothing has changed; free memory, then run again"
	case errors.Is(err, os.ErrPermission):
		return "nothing has changed; what forbids it may be lockdown or a security module: 'dmesg' tells"
	}
	return "nothing has changed; run again"
}
