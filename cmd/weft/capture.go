package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/api"
)

type captureOptions struct {
	wanted
	file  string
	count uint64
	sent  string
}

func newCaptureCommand(e *env) *cobra.Command {
	var o captureOptions
	cmd := &cobra.Command{
		Use: "capture [FILTER]", Short: "Write packets to a file for wireshark, with what became of each",
		Long: `Writes packets that come in by ports of weft to a file (pcapng), as received, with
what became of each as its comment: the verdict, the reason, the port that it leaves
by. With --sent both, also as sent, or with --sent only nothing else. '-w -' writes
to standard output. Without -w a line for each packet is printed.

It goes on until it is interrupted, or until there are as many packets as -c says.
Packets for which there is no room, as the reader is too slow, are forwarded as ever:
their number is told at the end.

` + filterHelp,
		Example: `  weft capture -w drops.pcapng --verdict drop
  weft capture -w - udp port 53 | tcpdump -r -
  weft capture -c 100 -w both.pcapng --sent both --dev eth0
  weft capture icmp or icmp6`,
		Annotations: map[string]string{client: "yes", inFull: "yes"},
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.sent != "no" && o.sent != "both" && o.sent != "only" {
				return usage("--sent "+o.sent+": unknown", "want no, both or only")
			}
			q, err := o.request(args, o.count)
			if err != nil {
				return err
			}
			return e.capture(cmd.Context(), &o, q)
		},
	}
	o.flags(e, cmd)
	f := cmd.Flags()
	f.StringVarP(&o.file, "write", "w", "", "`FILE` to write; -: standard output")
	f.Uint64VarP(&o.count, "count", "c", 0, "end after `N` packets")
	f.StringVar(&o.sent, "sent", "no", "`WHICH` to write of packets that leave: as sent, too (both), or nothing else (only)")
	complete(cmd, "sent", choices("no\tas received", "both\tas received and as sent", "only\tas sent"))
	return cmd
}

// empty takes away what a file had before: not until the daemon has said yes.
func empty(f *os.File) error {
	if f == nil {
		return nil
	}
	if s, err := f.Stat(); err != nil || !s.Mode().IsRegular() {
		return err
	}
	return f.Truncate(0)
}

// sink is what captured packets are written to.
type sink interface {
	begin(ports []string) error
	write(*api.CapturedPacket) error
	flush() error
}

func (e *env) capture(ctx context.Context, o *captureOptions, q *api.TraceRequest) (err error) {
	var to sink = &lineSink{e}
	var file *os.File
	switch o.file {
	case "":
	case "-":
		to = &fileSink{e: e, out: e.stdout, sent: o.sent, filter: inWords(q)}
	default:
		if file, err = os.OpenFile(o.file, os.O_WRONLY|os.O_CREATE, 0o600); err != nil { // packets are nobody else's business
			return fail(codeFailed, "capture: "+err.Error(), "name another file, or - for standard output")
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		to = &fileSink{e: e, out: file, sent: o.sent, filter: inWords(q)}
	}
	packets, lost := uint64(0), uint64(0)
	err = e.ask(ctx, func(ctx context.Context, c api.RouterClient) error {
		stream, err := c.Capture(ctx, q)
		for first := true; err == nil; first = false {
			var m *api.Captured
			if m, err = stream.Recv(); err != nil {
				break
			}
			if first {
				err = errors.Join(empty(file), to.begin(m.GetPorts()))
			}
			for _, p := range m.GetPackets() {
				packets++
				err = errors.Join(err, to.write(p))
			}
			lost = m.GetLost()
			err = errors.Join(err, to.flush())
		}
		return ended(err)
	})
	if err = interrupted(err); err == nil && o.file != "" {
		text := fmt.Sprintf("%s captured", count(packets, "packet"))
		if lost > 0 {
			text += fmt.Sprintf(", %d more had no room: a narrower filter or a smaller --snaplen may help", lost)
		}
		fmt.Fprintln(e.stderr, text)
	}
	return err
}

// lineSink prints a line for each.
type lineSink struct{ e *env }

func (l *lineSink) begin([]string) error { return nil }
func (l *lineSink) flush() error         { return nil }

func (l *lineSink) write(p *api.CapturedPacket) error { return l.e.printLine(l.e.newCaptured(p)) }

// capturedJSON is a packet as JSON, and as a line.
type capturedJSON struct {
	Time      string   `json:"time"`
	Engine    string   `json:"engine"`
	Dev       string   `json:"dev"`
	Root      string   `json:"root,omitempty"`
	Bytes     uint32   `json:"bytes"`
	Verdict   string   `json:"verdict"`
	Reason    string   `json:"reason"`
	Egress    string   `json:"egress,omitempty"`
	SentBytes uint32   `json:"sent_bytes,omitempty"`
	Group     uint32   `json:"group"`
	Hash      uint32   `json:"hash"`
	Adjacency uint32   `json:"adjacency"`
	Frame     string   `json:"frame"` // hexadecimal
	Sent      string   `json:"sent,omitempty"`
	Fates     []string `json:"fates,omitempty"`
	Made      []made   `json:"made,omitempty"`

	frame []byte
}

// made is a frame that the loop has made for a packet.
type made struct {
	Dev   string `json:"dev"`
	Frame string `json:"frame"`
}

func (e *env) newCaptured(p *api.CapturedPacket) *capturedJSON {
	c := &capturedJSON{
		Time: e.stamp(p.GetTime()), Engine: p.GetEngine(), Dev: p.GetDev(), Bytes: p.GetBytes(), Verdict: p.GetVerdict(), Reason: p.GetReason(),
		Egress: p.GetEgress(), SentBytes: p.GetSentBytes(), Group: p.GetGroup(), Hash: p.GetHash(), Adjacency: p.GetAdjacency(),
		Frame: hex.EncodeToString(p.GetFrame()), Sent: hex.EncodeToString(p.GetSent()), Fates: p.GetLoop().GetFates(), frame: p.GetFrame(),
	}
	if p.GetRoot() != p.GetDev() {
		c.Root = p.GetRoot()
	}
	for _, s := range p.GetLoop().GetSent() {
		c.Made = append(c.Made, made{s.GetDev(), hex.EncodeToString(s.GetFrame())})
	}
	return c
}

func (c *capturedJSON) text() string {
	what := fmt.Sprintf("xx %s (%s)", c.Verdict, c.Reason)
	if c.Verdict == "forward" {
		what = "-> " + c.Egress
	}
	if len(c.Fates) > 0 {
		what += " " + strings.Join(c.Fates, ", ")
	}
	return fmt.Sprintf("%s %s %s %s", c.Time, c.Dev, what, decode(c.frame).ip())
}
