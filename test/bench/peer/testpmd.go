package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// DPDK's forwarder (Debian: dpdk), by its two drivers for interfaces of the kernel. It looks nothing up: it gives each packet
// the MACs of the port that it leaves by, and sends it.
const testpmdBinary = "dpdk-testpmd"

// newTestpmd is it with a driver.
func newTestpmd(driver, title string) System {
	return System{
		Name: "testpmd_" + driver, Title: "testpmd " + title, Note: "DPDK's testpmd, mac mode, which looks nothing up; the kernel forwards nothing beside it",
		needs: testpmdBinary, apart: true, variant: variant{bare: true},
		make: func(n *Network) (engine, error) { return &testpmd{n: n, driver: driver}, nil },
	}
}

type testpmd struct {
	n      *Network
	driver string // af_xdp, af_packet

	process *exec.Cmd
	stdin   io.Closer
}

func (p *testpmd) arguments() []string {
	vdev := func(n int, name string) string {
		if p.driver == "af_xdp" {
			return fmt.Sprintf("net_af_xdp%d,iface=%s,start_queue=0,queue_count=1", n, name)
		}
		return fmt.Sprintf("eth_af_packet%d,iface=%s,blocksz=4096,framesz=2048,framecnt=1024,qpairs=1,qdisc_bypass=1", n, name)
	}
	cpu := p.n.options.RouterCPU
	return []string{
		"netns", "exec", p.n.name("router"), "stdbuf", "-oL", testpmdBinary, "--no-huge", "-m", "256", "--no-pci", "--no-telemetry",
		"--file-prefix", p.n.name("dpdk"), fmt.Sprintf("--lcores=0@%d,1@%d", cpu, cpu),
		"--vdev", vdev(0, p.n.port("in")), "--vdev", vdev(1, p.n.port("out")), "--",
		"--forward-mode=mac", "--auto-start", "--nb-cores=1", "--rxq=1", "--txq=1", "--burst=64", "--total-num-mbufs=16384", "--no-flush-rx",
	}
}

// attach starts it, and returns when it forwards.
func (p *testpmd) attach() (err error) {
	p.process = exec.CommandContext(p.n.context, "ip", p.arguments()...)
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
	p.stdin = nil
	return errors.Join(err, p.process.Wait(), os.RemoveAll("/var/run/dpdk/"+p.n.name("dpdk"))) // it leaves that
}

func (p *testpmd) unforwarded() (uint64, error) { return 0, nil }

func (p *testpmd) close() error {
	if p.stdin == nil {
		return nil
	}
	return p.detach()
}
