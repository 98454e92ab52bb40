package lab

import (
	"errors"
	"fmt"
	"io"
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

// AllErrors is the limit, lifted. It keeps the setting open: a thread that has entered
// another namespace would not find it by its name.
type AllErrors struct{ lock, cost *os.File }

// LiftErrors lifts the limit until Restore. The calling thread is in the first network
// namespace, the only one that has the setting.
func LiftErrors() (_ *AllErrors, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("lift the limit of errors: %w", err)
		}
	}()
	lock, err := os.OpenFile(costLock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	cost, err := os.OpenFile(errorCost, os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	a := &AllErrors{lock, cost}
	if err = unix.Flock(int(lock.Fd()), unix.LOCK_SH); err == nil {
		err = a.Again()
	}
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// Again lifts it if someone has not known of the lock.
func (a *AllErrors) Again() error {
	now, err := readAll(a.cost)
	if err != nil || strings.TrimSpace(now) == "0" {
		return err
	}
	if _, err := a.lock.WriteAt([]byte(now), 0); err != nil {
		return err
	}
	_, err = a.cost.WriteAt([]byte("0\n"), 0)
	return err
}

// Restore puts the limit back, unless others need it lifted. It may be called in any
// namespace.
func (a *AllErrors) Restore() error {
	if unix.Flock(int(a.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return a.close() // others are at work
	}
	was, err := readAll(a.lock)
	if err == nil && was != "" {
		_, err = a.cost.WriteAt([]byte(was), 0)
	}
	return errors.Join(err, a.lock.Truncate(0), a.close())
}

func (a *AllErrors) close() error { return errors.Join(a.lock.Close(), a.cost.Close()) }

func readAll(f *os.File) (string, error) {
	var b [32]byte
	n, err := f.ReadAt(b[:], 0)
	if err == io.EOF {
		err = nil
	}
	return string(b[:n]), err
}
