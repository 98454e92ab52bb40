package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weft/control/api"
)

func newVerifyCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Compare kernel, RIB, FIB and the live program, prefix by prefix",
		Long: `Lets the daemon compare, prefix by prefix, the kernel's routes with its own, those
with the FIB image, and that with what the live program answers. Traffic goes on
meanwhile. A difference that a change explains, which came in between, is looked
at again by the daemon. When the daemon is reading all of the kernel's tables again,
or about to, because the kernel may not have told of all that has changed, that is
said: what differs then may be found without you.

The exit code is 3 when there are differences.`,
		Example: `  weft verify
  weft verify --json | jq '.differences | length'`,
		Annotations:       map[string]string{client: noun},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE:              func(cmd *cobra.Command, _ []string) error { return e.verify(cmd.Context()) },
	}
}

type difference struct {
	Dst     string `json:"dst"`
	VRF     uint32 `json:"vrf"`
	Between string `json:"between"`
	Want    string `json:"want"`
	Have    string `json:"have"`
}

func (d *difference) text() string {
	vrf := ""
	if d.VRF != 0 {
		vrf = fmt.Sprintf(" vrf %d", d.VRF)
	}
	return fmt.Sprintf("%s%s: %s differ: want %s, have %s", d.Dst, vrf, d.Between, d.Want, d.Have)
}

type verification struct {
	IPv4        uint64       `json:"ipv4"`
	IPv6        uint64       `json:"ipv6"`
	Checked     uint64       `json:"checked"`
	Changing    uint64       `json:"changing,omitempty"` // at each look: nothing can be said of them
	Count       uint64       `json:"count"`              // of differences; the first are listed
	Differences []difference `json:"differences"`
	Rereading   *rereading   `json:"rereading,omitempty"` // none: what the kernel has told is all there is
}

// mostDifferences is how many are kept for JSON: more tell nothing new.
const mostDifferences = 10000

func (e *env) verify(ctx context.Context) error {
	v := verification{Differences: []difference{}}
	done := false
	progress := &progress{e: e}
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) error {
		stream, err := c.Verify(ctx, &api.VerifyRequest{})
		for err == nil {
			var m *api.VerifyReply
			if m, err = stream.Recv(); err != nil {
				break
			}
			for _, d := range m.GetDifferences() {
				if err := e.found(&v, progress, d); err != nil {
					return err
				}
			}
			v.Checked = m.GetChecked()
			progress.show(m.GetChecked(), m.GetTotal())
			if m.GetDone() {
				done, v.IPv4, v.IPv6, v.Changing = true, m.GetIpv4(), m.GetIpv6(), m.GetChanging()
				v.Rereading = e.newRereading(m.GetRereading())
			}
		}
		return ended(err)
	})
	progress.clear()
	if err == nil && !done {
		err = errors.New("verify: the daemon ended before it was done")
	}
	if err != nil {
		return err
	}
	if err := e.verified(&v); err != nil {
		return err
	}
	if v.Count > 0 {
		return outcome(codePartial)
	}
	return nil
}

func (e *env) found(v *verification, p *progress, d *api.Difference) error {
	v.Count++
	one := difference{d.GetDst(), d.GetVrf(), d.GetBetween(), d.GetWant(), d.GetHave()}
	if e.json {
		if len(v.Differences) < mostDifferences {
			v.Differences = append(v.Differences, one)
		}
		return nil
	}
	p.clear()
	return e.printLine(&one)
}

func (e *env) verified(v *verification) error {
	if e.json {
		return e.printJSON(v)
	}
	result := "no difference"
	if v.Count > 0 {
		result = count(v.Count, "difference")
	}
	if v.Changing > 0 {
		result += fmt.Sprintf(", %d were changing", v.Changing)
	}
	if v.Rereading != nil {
		result += fmt.Sprintf("; the daemon reads %s", v.Rereading)
	}
	_, err := fmt.Fprintf(e.stdout, "%d IPv4 and %d IPv6 prefixes compared: %s\n", v.IPv4, v.IPv6, result)
	return err
}

// progress is a line on a terminal that is written over.
type progress struct {
	e     *env
	shown bool
}

func (p *progress) show(checked, total uint64) {
	if p.e.terminal {
		fmt.Fprintf(p.e.stderr, "\r%d of %d\x1b[K", checked, total)
		p.shown = true
	}
}

func (p *progress) clear() {
	if p.shown {
		_, _ = io.WriteString(p.e.stderr, "\r\x1b[K") // decoration
		p.shown = false
	}
}
