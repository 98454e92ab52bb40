package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// DPDK's forwarder (Debian: dpdk), by its two drivers for interfaces of the kernel. It looks nothing up: it gives each packet
// the MACs of the port that it leaves by, and sends it.
const (
	testpmdXDP    = "testpmd_af_xdp"
	testpmdPacket = "testpmd_af_packet"
	testpmdBinary = "dpdk-testpmd"
)

// missing says why an engine cannot be measured here; "": it can.
func missing(engine string) string {
	if engine == testpmdXDP || engine == testpmdPacket {
		if _, err := exec.LookPath(testpmdBinary); err != nil {
			return testpmdBinary + " is not installed (Debian: dpdk)"
		}
	}
	return ""
}

type testpmd struct {
	ctx    context.Context
	t      *topology
	cpu    int
	driver string

	process *exec.Cmd
	stdin   io.Closer
}

func (p *testpmd) arguments() []string {
	vdev := func(n int, name string) string {
		if p.driver == testpmdXDP {
			return fmt.Sprintf("net_af_xdp%d,iface=%s,start_queue=0,queue_count=1", n, name)
		}
		return fmt.Sprintf("eth_af_packet%d,iface=%s,blocksz=4096,framesz=2048,framecnt=1024,qpairs=1,qdisc_bypass=1", n, name)
	}
	return []string{
		"netns", "exec", p.t.name("router"), "stdbuf", "-oL", testpmdBinary, "--no-huge", "-m", "256", "--no-pci", "--no-telemetry",
		"--file-prefix", p.t.name("dpdk"), fmt.Sprintf("--lcores=0@%d,1@%d", p.cpu, p.cpu),
		"--vdev", vdev(0, "in"), "--vdev", vdev(1, "out"), "--",
		"--forward-mode=mac", "--auto-start", "--nb-cores=1", "--rxq=1", "--txq=1", "--burst=64", "--total-num-mbufs=16384", "--no-flush-rx",
	}
}

// attach starts it, and returns when it forwards.
func (p *testpmd) attach() (err error) {
	p.process = exec.CommandContext(p.ctx, "ip", p.arguments()...)
	if p.stdin, err = p.process.StdinPipe(); err != nil { // it ends with it
		return err
	}
	out, err := p.process.StdoutPipe()
	if err != nil {
		return err
	}
	p.process.Stderr = p.process.Stdout
	if err := p.process.Start(); err != nil {
		return err
	}
	lines, forwards := bufio.NewScanner(out), false
	var told []string
	for !forwards && lines.Scan() {
		told = append(told, lines.Text())
		forwards = strings.Contains(lines.Text(), "Press enter to exit")
	}
	if !forwards {
		return errors.Join(fmt.Errorf("testpmd has ended: %s", strings.Join(told, "\n")), p.process.Wait())
	}
	go io.Copy(io.Discard, out)
	time.Sleep(100 * time.Millisecond) // its core begins
	return nil
}

func (p *testpmd) detach() error {
	err := p.stdin.Close()
	return errors.Join(err, p.process.Wait())
}

func (p *testpmd) unforwarded() (uint64, error) { return 0, nil }
