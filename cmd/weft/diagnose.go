package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weft/cmd/weft/doctor"
	"weft/control/api"
)

func newDoctorCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Tell what this machine lacks, and the command that mends it",
		Long: `Looks at the kernel, its settings and the interfaces, and tells for each thing
whether it is as weft needs it: OK; WARN: weft works, but slower or not for all;
FAIL: it does not. It changes nothing and needs no daemon; if one runs, it is
asked too.

The exit code is 3 when there is a FAIL.`,
		Example: `  sudo weft doctor
  sudo weft -n router1 doctor
  weft doctor --json | jq '.[] | select(.level != "OK")'`,
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.diagnose(doctor.Examine(doctor.Linux{}, e.askDaemon(cmd.Context())))
		},
	}
}

// askDaemon returns what a daemon says of itself, nil if none answers.
func (e *env) askDaemon(ctx context.Context) *doctor.Daemon {
	ctx, cancel := context.WithTimeout(ctx, daemonTime)
	defer cancel()
	d := &doctor.Daemon{}
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) error {
		s, err := c.GetStatus(ctx, &api.StatusRequest{})
		if err != nil {
			return err
		}
		p, err := c.ListPorts(ctx, &api.PortsRequest{})
		d.State = s.GetState()
		for _, one := range e.newPorts(p, "").Ports {
			if why := whyPartial(one.IngressWhy, one.partial()); why != "" {
				d.Partial = append(d.Partial, doctor.Remark{Dev: one.Ifname, Text: why})
			}
		}
		for _, one := range p.GetPorts() {
			if one.GetEgressWhy() != "" {
				d.Slow = append(d.Slow, doctor.Remark{Dev: one.GetDev(), Text: one.GetEgressWhy()})
			}
		}
		for _, r := range p.GetRefused() {
			d.Refused = append(d.Refused, doctor.Remark{Dev: r.GetDev(), Text: r.GetError() + ": " + mendRefused(r)})
		}
		return err
	})
	if err != nil {
		return nil
	}
	return d
}

func (e *env) diagnose(all []doctor.Finding) error {
	var err error
	if e.json {
		err = e.printJSON(all)
	} else {
		err = printFindings(e.stdout, all)
	}
	if err != nil {
		return err
	}
	for _, f := range all {
		if f.Level == doctor.Fail {
			return outcome(codePartial)
		}
	}
	return nil
}

func printFindings(w io.Writer, all []doctor.Finding) error {
	counts := map[doctor.Level]int{}
	for _, f := range all {
		counts[f.Level]++
		subject := f.Check
		if f.Subject != "" {
			subject += " " + f.Subject
		}
		if _, err := fmt.Fprintf(w, "%-4s  %s: %s\n", f.Level, subject, f.Text); err != nil {
			return err
		}
		if f.Mend != "" {
			if _, err := fmt.Fprintf(w, "      -> %s\n", f.Mend); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "%d OK, %d WARN, %d FAIL\n", counts[doctor.OK], counts[doctor.Warn], counts[doctor.Fail])
	return err
}
