package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A file of an earlier capture is lost only to packets of the next one.
func TestCaptureKeepsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "old.pcapng")
	if err := os.WriteFile(file, []byte("packets"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none.sock")
	var stdout, stderr bytes.Buffer
	if exit := command(t.Context(), testEnv(t, &stdout, &stderr), []string{"--socket", none, "capture", "-w", file}); exit != 4 {
		t.Errorf("exit code %d without a daemon: %s", exit, stderr.String())
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "packets" {
		t.Errorf("the file has %q: %v", text, err)
	}
}
