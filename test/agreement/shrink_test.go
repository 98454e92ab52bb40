package agreement

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"

	"weft/dataplane"
)

// wrong is the model with a fault: it does not decrease the TTL of IPv4 packets with a
// certain port, if they go to a gateway.
type wrong struct{ Model }

const faultyPort = 33434

func (w *wrong) Name() string { return "wrong" }

func (w *wrong) Forward(packets []Packet, answers []Answer) error {
	if err := w.Model.Forward(packets, answers); err != nil {
		return err
	}
	for i, a := range answers {
		if f := a.Frame; a.Reason == dataplane.Forwarded && familyName(f) == "ipv4" && len(f) >= l3+24 && binary.BigEndian.Uint16(f[l3+22:]) == faultyPort {
			answers[i].Frame = bytes.Clone(f)
			answers[i].Frame[l3+8]++
		}
	}
	return nil
}

func wrongTable() *Table { return &Table{Rows: []Row{{Forwarder: new(wrong), Every: 1}}} }

// firstDivergence finds one by a campaign.
func firstDivergence(t *testing.T, table *Table) Divergence {
	t.Helper()
	c := NewCampaign(1)
	var found []Divergence
	c.Divergence = func(d Divergence) { found = append(found, d) }
	if err := c.Run(t.Context(), table, 20_000, nil); err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || c.Divergent < 10 {
		t.Fatalf("%d kinds of divergences, %d packets: want one kind, of many packets", len(found), c.Divergent)
	}
	return found[0]
}

// A wrong forwarder is found, and what is told of it is small.
func TestShrink(t *testing.T) {
	table := wrongTable()
	found := firstDivergence(t, table)
	d, err := table.Shrink(found)
	if err != nil {
		t.Fatal(err)
	}
	s := d.State
	t.Logf("from %d routes, %d neighbors, %d ports, %d bytes to %d, %d, %d, %d: %s", len(found.State.Routes), len(found.State.Neighbors),
		len(found.State.Ports), len(found.Packet.Frame), len(s.Routes), len(s.Neighbors), len(s.Ports), len(d.Packet.Frame), d.String())
	if len(s.Routes) > 1 || len(s.Neighbors) != 1 || len(s.Ports) > 2 || len(d.Packet.Frame) != l3+24 {
		t.Errorf("%d routes, %d neighbors, %d ports, %d bytes", len(s.Routes), len(s.Neighbors), len(s.Ports), len(d.Packet.Frame))
	}
	if d.What != "frame" || d.Between != "model and wrong" {
		t.Errorf("it has become another: %s", d.String())
	}
}

// What is saved is a test that fails, and a capture.
func TestSave(t *testing.T) {
	table := wrongTable()
	d, err := table.Shrink(firstDivergence(t, table))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, err := d.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantCapture(t, strings.TrimSuffix(path, testSuffix)+".pcap", d.Packet.Frame)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, strings.TrimSuffix(filepath.Base(path), ".txt")): path}})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-vet=off", "-count=1", "-overlay", filepath.Join(dir, "overlay.json"), "-run", "^TestDivergence_", "-v", ".")
	cmd.Env = append(os.Environ(), wrongForwarder+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: TestDivergence_"+d.name()) || !strings.Contains(string(out), "model and wrong: frame") {
		t.Errorf("the saved test: %v\n%s", err, out)
	}
}

func wantCapture(t *testing.T, path string, frame []byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := r.ReadPacketData(); err != nil || !bytes.Equal(got, frame) {
		t.Errorf("captured %x, %v, want %x", got, err, frame)
	}
}

// A divergence that does not come again is said to be such.
func TestShrinkGone(t *testing.T) {
	table := wrongTable()
	d := firstDivergence(t, table)
	d.Packet.Frame = bytes.Clone(d.Packet.Frame)
	d.Packet.Frame[l3+23]++
	d.Packet.Frame = fixed(d.Packet.Frame)
	if _, err := table.Shrink(d); !errors.Is(err, ErrGone) {
		t.Errorf("%v, want %v", err, ErrGone)
	}
}

// What makes lengths and checksums right leaves right packets as they are.
func TestFixed(t *testing.T) {
	for _, tmpl := range templates {
		f := fixed(bytes.Clone(tmpl.frame))
		if tmpl.family != 0 && !bytes.Equal(f, tmpl.frame) {
			t.Errorf("a packet that was right has changed:\n%x\n%x", tmpl.frame, f)
		}
	}
}
