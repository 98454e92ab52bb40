package agreement

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/format"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"weft/test/model"
)

// ErrGone: forwarders that differed do the same when they are asked again, each in a
// new State. What differed may depend on the States before.
var ErrGone = errors.New("the divergence does not come again")

// Kind is what a divergence has in common with others that are likely one fault.
func (d *Divergence) Kind() string {
	kind := d.Between + ", " + d.What + ", " + familyName(d.Packet.Frame)
	if d.What == "reason" {
		kind += ", " + d.Detail
	}
	return kind
}

// testSuffix keeps saved tests from being a package where they lie.
const testSuffix = "_test.go.txt"

// Save writes a capture of a divergence's packet, and a Go test that fails while it is
// there: to be put into this package, without its .txt. It returns the test's path.
func (d *Divergence) Save(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("save divergence: %w", err)
	}
	source, err := d.Source()
	if err != nil {
		return "", fmt.Errorf("save divergence: %w", err)
	}
	path := filepath.Join(dir, "divergence_"+d.name())
	err = os.WriteFile(path+".pcap", d.capture(), 0o644)
	if err == nil {
		err = os.WriteFile(path+testSuffix, source, 0o644)
	}
	if err != nil {
		return "", fmt.Errorf("save divergence: %w", err)
	}
	return path + testSuffix, nil
}

// name is the same for the same packet and difference.
func (d *Divergence) name() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %x", d.Between, d.What, d.Packet.Frame)
	return fmt.Sprintf("%x", h.Sum(nil)[:6])
}

func (d *Divergence) capture() []byte {
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	f := d.Packet.Frame
	// A bytes.Buffer takes everything.
	_ = w.WriteFileHeader(65535, layers.LinkTypeEthernet)
	_ = w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(0, 0), CaptureLength: len(f), Length: len(f)}, f)
	return b.Bytes()
}

// Source is the Go test.
func (d *Divergence) Source() ([]byte, error) {
	var b bytes.Buffer
	s := d.State
	fmt.Fprintf(&b, "package agreement\n\nimport (\n\t\"testing\"\n\n\t\"weft/test/model\"\n)\n\n")
	fmt.Fprintf(&b, "// %s.\n", strings.ReplaceAll(strings.TrimSpace(d.String()), "\n", "\n// "))
	fmt.Fprintf(&b, "func TestDivergence_%s(t *testing.T) {\n", d.name())
	fmt.Fprintf(&b, "\twantAgreement(t, &model.State{\nHashSeed: %#x,\nPorts: []model.Port{\n", s.HashSeed)
	for _, p := range s.Ports {
		fmt.Fprintf(&b, "{Name: %q, MAC: hexMAC(%q), MTU: %d, IPv4: %t, IPv6: %t, Down: %t, Addrs: prefixes(%s)},\n",
			p.Name, mac(p.MAC), p.MTU, p.IPv4, p.IPv6, p.Down, quoted(p.Addrs))
	}
	fmt.Fprintf(&b, "},\nRoutes: []model.Route{\n")
	for _, r := range s.Routes {
		fmt.Fprintf(&b, "{Prefix: prefixes(%q)[0], Kind: %q, Metric: %d, MTU: %d, Hops: []model.Hop{%s}},\n", r.Prefix, r.Kind, r.Metric, r.MTU, hopWords(r.Hops))
	}
	fmt.Fprintf(&b, "},\nNeighbors: []model.Neighbor{\n")
	for _, n := range s.Neighbors {
		fmt.Fprintf(&b, "{Port: %q, Addr: address(%q), MAC: hexMAC(%q), State: %q},\n", n.Port, n.Addr, mac(n.MAC), n.State)
	}
	fmt.Fprintf(&b, "},\n}, %q, \"%x\")\n}\n", s.Ports[d.Packet.Port].Name, d.Packet.Frame)
	return format.Source(b.Bytes())
}

func quoted(all []netip.Prefix) string {
	var words []string
	for _, p := range all {
		words = append(words, fmt.Sprintf("%q", p))
	}
	return strings.Join(words, ", ")
}

func hopWords(hops []model.Hop) string {
	var words []string
	for _, h := range hops {
		gateway := ""
		if h.Gateway.IsValid() {
			gateway = fmt.Sprintf("Gateway: address(%q), ", h.Gateway)
		}
		words = append(words, fmt.Sprintf("{%sPort: %q, Weight: %d}", gateway, h.Port, h.Weight))
	}
	return strings.Join(words, ", ")
}
