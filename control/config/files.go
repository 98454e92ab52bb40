package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// state is the file that says what is in force. The configurations are files of
// their own, which nobody changes once they are written.
type state struct {
	Format      int          `json:"format"`
	Identity    string       `json:"identity"` // of the network namespace
	Running     uint64       `json:"running"`  // generation in force; 0: the empty one
	Last        uint64       `json:"last"`     // number that was given last
	Seen        string       `json:"seen"`     // digest of the file that was read last
	Generations []Generation `json:"generations"`
	Pending     *Pending     `json:"pending,omitempty"`
}

const stateFormat = 1

func (st *state) clone() state {
	c := *st
	c.Generations = slices.Clone(st.Generations)
	return c
}

// next is the state with one more generation, which is in force.
func (st *state) next(g Generation) state {
	n := st.clone()
	n.Last++
	g.Number = n.Last
	n.Running = g.Number
	n.Generations = append(n.Generations, g)
	return n
}

// trim forgets the oldest generations, but not the one that comes back when a
// change is not confirmed.
func (st *state) trim() {
	for i := 0; len(st.Generations) > keepGenerations; {
		if st.Pending != nil && st.Generations[i].Number == st.Pending.Before {
			i++
			continue
		}
		st.Generations = slices.Delete(st.Generations, i, i+1)
	}
}

// restored is the state with an earlier generation in force.
func (st *state) restored(number uint64) state {
	n := st.clone()
	n.Running, n.Pending = number, nil
	n.Generations = slices.DeleteFunc(n.Generations, func(g Generation) bool { return g.Number > number })
	return n
}

func (st *state) has(number uint64) bool {
	return number == 0 || slices.ContainsFunc(st.Generations, func(g Generation) bool { return g.Number == number })
}

// ago returns the number of the generation that was in force n changes ago.
func (st *state) ago(n int) (uint64, error) {
	if st.Pending != nil && n == 1 {
		return st.Pending.Before, nil
	}
	at := slices.IndexFunc(st.Generations, func(g Generation) bool { return g.Number == st.Running }) - n
	switch {
	case n < 1 || at < -1:
		return 0, fmt.Errorf("%d changes ago: %w", n, ErrNoGeneration)
	case at >= 0:
		return st.Generations[at].Number, nil
	case len(st.Generations) > 0 && st.Generations[0].Number == 1:
		return 0, nil // before the first change
	}
	return 0, fmt.Errorf("%d changes ago: %w: %d are kept", n, ErrNoGeneration, keepGenerations)
}

// digest names the content of a configuration.
func digest(c *Config) string {
	sum := sha256.Sum256(c.YAML())
	return hex.EncodeToString(sum[:])
}

// files are the state on disk.
type files struct{ dir string }

const (
	stateName  = "state.json"
	configName = ".config.json" // behind the number of a generation
)

func (f files) configPath(number uint64) string {
	return filepath.Join(f.dir, strconv.FormatUint(number, 10)+configName)
}

// read returns the state, an empty one if there is none or another namespace's.
func (f files) read(identity string) (state, error) {
	empty := state{Format: stateFormat, Identity: identity}
	path := filepath.Join(f.dir, stateName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, fmt.Errorf("read state of the configuration: %w", err)
	}
	var st state
	if err := json.Unmarshal(text, &st); err != nil {
		return empty, fmt.Errorf("state of the configuration %s is damaged: %w: move it away, then 'weft config apply' begins anew", path, err)
	}
	switch {
	case st.Format != stateFormat:
		return empty, fmt.Errorf("state of the configuration %s has format %d, this weft reads %d: move it away, or run the weft that wrote it", path, st.Format, stateFormat)
	case st.Identity != identity:
		return empty, nil // a network namespace that is gone had the same number
	case !st.has(st.Running) || st.Pending != nil && !st.has(st.Pending.Before):
		return empty, fmt.Errorf("state of the configuration %s is damaged: generation %d is not there: move it away, then 'weft config apply' begins anew", path, st.Running)
	}
	return st, nil
}

// config reads the configuration of a generation.
func (f files) config(number uint64) (*Config, error) {
	if number == 0 {
		return Default(), nil
	}
	text, err := os.ReadFile(f.configPath(number))
	if err != nil {
		return nil, fmt.Errorf("read configuration %d: %w", number, err)
	}
	c := &Config{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("configuration %s is damaged: %w", f.configPath(number), err)
	}
	return c, nil
}

// prepare writes what is needed before a state may be the one in force.
func (f files) prepare(st state, c *Config) error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("%w: make its directory: %w", ErrDisk, err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return f.put(f.configPath(st.Running), text)
}

// write makes a state the one in force.
func (f files) write(st state) error {
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("write state of the configuration: %w", err)
	}
	return f.put(filepath.Join(f.dir, stateName), append(text, '\n'))
}

// restore makes a state the one on disk again, after a write that may or may not
// have come through.
func (f files) restore(st state) error {
	if there, err := f.read(st.Identity); err == nil && there.Running == st.Running {
		return nil
	}
	return f.write(st)
}

// put writes a file that is there whole or, after a crash, as it was before.
func (f files) put(path string, text []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: write %s: %w", ErrDisk, path, err)
		}
	}()
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDirectory(f.dir)
}

// syncDirectory makes a rename last.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// discard removes a configuration that did not come into force.
func (f files) discard(number uint64) { os.Remove(f.configPath(number)) }

// sweep removes the configurations that are not kept. What it cannot remove the
// next one tries again.
func (f files) sweep(st state) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		number, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSuffix(e.Name(), ".new"), configName), 10, 64)
		if err == nil && (!st.has(number) || strings.HasSuffix(e.Name(), ".new")) {
			os.Remove(filepath.Join(f.dir, e.Name()))
		}
	}
}
