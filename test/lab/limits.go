package lab

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Linux answers a sender five times in a row that there is no route, and then once a
// second, by a setting that all namespaces share: who needs every answer sets it to 0
// while he is at work. Others may be, too, each with the lock shared; the last one
// puts back what was found, which the lock's file holds.
const (
	errorCost = "/proc/sys/net/ipv4/route/error_cost"
	costLock  = "/run/weft-test-error-cost"
)

// AllErrors is the limit, lifted.
type AllErrors struct{ lock *os.File }

// LiftErrors lifts the limit until Restore.
func LiftErrors() (_ *AllErrors, err error) {
	lock, err := os.OpenFile(costLock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lift the limit of errors: %w", err)
	}
	a := &AllErrors{lock}
	if err = unix.Flock(int(lock.Fd()), unix.LOCK_SH); err == nil {
		err = a.Again()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lift the limit of errors: %w", err), lock.Close())
	}
	return a, nil
}

// Again lifts it if someone has not known of the lock.
func (a *AllErrors) Again() error {
	now, err := os.ReadFile(errorCost)
	if err != nil || strings.TrimSpace(string(now)) == "0" {
		return err
	}
	if _, err := a.lock.WriteAt(now, 0); err != nil {
		return err
	}
	return os.WriteFile(errorCost, []byte("0"), 0)
}

// Restore puts the limit back, unless others need it lifted.
func (a *AllErrors) Restore() error {
	defer a.lock.Close()
	if unix.Flock(int(a.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // others are at work
	}
	was, err := os.ReadFile(costLock)
	if err == nil && len(was) > 0 {
		err = os.WriteFile(errorCost, was, 0)
	}
	return errors.Join(err, a.lock.Truncate(0))
}
