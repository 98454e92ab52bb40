package conformance

import (
	"context"
	"errors"
	"fmt"
	"path"
)

// Clause is a statement of an RFC about routers.
type Clause struct {
	Number int
	RFC    string // and section
	Title  string

	// It holds when all cases do whose names are like these (path.Match), and the
	// checks find nothing wrong. With neither it does not apply, and Why says why.
	cases []string
	check func(context.Context, *Network) error
	alone bool // the check changes the network: it has one of its own
	Why   string
}

// Outcome is what became of a clause.
type Outcome string

// Outcomes.
const (
	Pass          Outcome = "pass"
	Fail          Outcome = "fail"
	NotApplicable Outcome = "not_applicable"
)

// Verdict is a clause and what became of it.
type Verdict struct {
	Clause int     `json:"clause"`
	RFC    string  `json:"rfc"`
	Title  string  `json:"title"`
	Result Outcome `json:"result"`
	// Why it failed or does not apply, or what it does not say where it passed.
	Why string `json:"why,omitempty"`
}

// applies tells whether there is something to check.
func (c *Clause) applies() bool { return len(c.cases) > 0 || c.check != nil }

// find returns the cases of a clause. A name that no case is like is an error: the
// clause would hold for nothing.
func (c *Clause) find(all []Case) (found []*Case, err error) {
	for _, like := range c.cases {
		before := len(found)
		for i := range all {
			if ok, err := path.Match(like, all[i].Name); err != nil {
				return nil, fmt.Errorf("%s: %w", like, err)
			} else if ok {
				found = append(found, &all[i])
			}
		}
		if len(found) == before {
			return nil, fmt.Errorf("no case is like %q", like)
		}
	}
	return found, nil
}

// Run checks clauses, and gives each verdict to tell as it is known. It makes
// networks of its own, and has removed them when it returns. Needs root.
//
// Errors: that of ctx, of tell, and that no network can be made.
func Run(ctx context.Context, clauses []Clause, tell func(Verdict) error) (err error) {
	var shared *Network
	defer func() {
		if shared != nil {
			err = errors.Join(err, shared.Close())
		}
	}()
	cases := Cases()
	for i := range clauses {
		c := &clauses[i]
		v := Verdict{Clause: c.Number, RFC: c.RFC, Title: c.Title, Result: NotApplicable, Why: c.Why}
		if c.applies() {
			if shared == nil {
				if shared, err = Open(ctx); err != nil {
					return err
				}
			}
			wrong := c.try(ctx, shared, cases)
			if err := ctx.Err(); err != nil {
				return err
			}
			v.Result = Pass
			if wrong != nil {
				v.Result, v.Why = Fail, wrong.Error()
			}
		}
		if err := tell(v); err != nil {
			return err
		}
	}
	return nil
}

// try returns what is wrong.
func (c *Clause) try(ctx context.Context, n *Network, all []Case) error {
	cases, err := c.find(all)
	if err != nil {
		return err
	}
	for _, one := range cases {
		if err := n.Try(ctx, one); err != nil {
			return fmt.Errorf("%s: %w", one.Name, err)
		}
	}
	if c.check == nil {
		return nil
	}
	if !c.alone {
		return c.check(ctx, n)
	}
	own, err := Open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(c.check(ctx, own), own.Close())
}
