package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"weft/control/api"
)

// fileSink writes pcapng: an interface for each port that frames come in or go out by.
type fileSink struct {
	e            *env
	out          io.Writer
	sent, filter string

	w          *pcapgo.NgWriter
	interfaces map[string]int
}

func (f *fileSink) begin(ports []string) error {
	slices.Sort(ports)
	f.interfaces = map[string]int{}
	for _, p := range ports {
		if _, err := f.number(p); err != nil {
			return err
		}
	}
	return nil
}

// number returns that of a port's interface. The first begins the file.
func (f *fileSink) number(port string) (n int, err error) {
	if n, known := f.interfaces[port]; known {
		return n, nil
	}
	i := pcapgo.NgInterface{Name: port, LinkType: layers.LinkTypeEthernet, Filter: f.filter, OS: runtime.GOOS, TimestampResolution: 9}
	if f.w == nil {
		f.w, err = pcapgo.NewNgWriterInterface(f.out, i, pcapgo.NgWriterOptions{
			SectionInfo: pcapgo.NgSectionInfo{Hardware: runtime.GOARCH, OS: runtime.GOOS, Application: "weft " + f.e.version},
		})
	} else {
		n, err = f.w.AddInterface(i)
	}
	f.interfaces[port] = n
	return n, err
}

func (f *fileSink) write(p *api.CapturedPacket) error {
	if f.sent != "only" {
		if err := f.packet(p, p.GetRoot(), p.GetFrame(), p.GetBytes(), pcapgo.NgEpbFlagDirectionInbound, comment(p)); err != nil {
			return err
		}
	}
	if f.sent == "no" {
		return nil
	}
	if p.GetVerdict() == "forward" {
		if err := f.packet(p, p.GetEgressRoot(), p.GetSent(), p.GetSentBytes(), pcapgo.NgEpbFlagDirectionOutbound, comment(p)); err != nil {
			return err
		}
	}
	for _, s := range p.GetLoop().GetSent() {
		if err := f.packet(p, s.GetDev(), s.GetFrame(), s.GetBytes(), pcapgo.NgEpbFlagDirectionOutbound, "made for: "+comment(p)); err != nil {
			return err
		}
	}
	return nil
}

func (f *fileSink) packet(p *api.CapturedPacket, port string, frame []byte, bytes uint32, d pcapgo.NgEpbFlag, comment string) error {
	n, err := f.number(port)
	if err != nil {
		return err
	}
	ci := gopacket.CaptureInfo{
		Timestamp: time.Unix(0, p.GetTime()), CaptureLength: len(frame), Length: max(int(bytes), len(frame)), InterfaceIndex: n,
	}
	return f.w.WritePacketWithOptions(ci, frame, pcapgo.NgPacketOptions{
		Comments: []string{comment}, Flags: &pcapgo.NgEpbFlags{Direction: d},
	})
}

func (f *fileSink) flush() error {
	if f.w == nil {
		return nil
	}
	return f.w.Flush()
}

// comment tells what became of a packet.
func comment(p *api.CapturedPacket) string {
	words := []string{"verdict " + p.GetVerdict(), "reason " + p.GetReason(), "engine " + p.GetEngine(), "in by " + p.GetDev()}
	if p.GetEgress() != "" {
		words = append(words, "out by "+p.GetEgress())
	}
	for _, n := range []struct {
		name  string
		value uint32
	}{{"group", p.GetGroup()}, {"adjacency", p.GetAdjacency()}} {
		if n.value != 0 {
			words = append(words, fmt.Sprintf("%s %d", n.name, n.value))
		}
	}
	if p.GetHash() != 0 {
		words = append(words, fmt.Sprintf("hash 0x%08x", p.GetHash()))
	}
	if fates := p.GetLoop().GetFates(); len(fates) > 0 {
		words = append(words, strings.Join(fates, " "))
	}
	return strings.Join(words, ", ")
}
