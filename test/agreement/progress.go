package agreement

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Resume returns the campaign that a file tells of, to go on until so many packets
// are done. Without a file it is a new one. After one that has come to its end a new
// one begins where its States end.
func Resume(path string, seed, packets uint64) (*Campaign, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return NewCampaign(seed), nil
	}
	c := NewCampaign(seed)
	if err == nil {
		err = json.Unmarshal(b, c)
	}
	if err != nil {
		return nil, fmt.Errorf("go on from %s: %w: remove it to begin again", path, err)
	}
	if c.Packets >= packets {
		return NewCampaign(c.Seed + c.Rounds), nil
	}
	return c, nil
}

// Store writes the file for Resume, whole or not at all.
func (c *Campaign) Store(path string) error {
	b, err := json.MarshalIndent(c, "", "\t")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path+".next", append(b, '\n'), 0o644)
	}
	if err == nil {
		err = os.Rename(path+".next", path)
	}
	if err != nil {
		return fmt.Errorf("store progress: %w", err)
	}
	return nil
}
