// Package keys keeps the circuit directory: the files a prove-client loads and the one
// the coordinator verifies with. It exists so that set-up, client and coordinator agree
// on them.
package keys

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/consensys/gnark/logger"
)

// Names of the files in a circuit directory, as clients and images know them.
const (
	ConstraintsFile = "circuit.r1cs" // PLONK constraints, in spite of the traditional name
	MonomialFile    = "mon.key"
	LagrangeFile    = "lag.key"
	VerifyingFile   = "vk.bin"
)

// gnark narrates every proof on stdout, where a program's own log lines are read.
func init() { logger.Disable() }

// WriteDirectory writes all files into a directory beside out and swaps it in at the end,
// so that out is never half written. An existing out is replaced.
func WriteDirectory(out string, files map[string]io.WriterTo) error {
	out = filepath.Clean(out)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("making room for circuit directory %s: %w", out, err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+"-*")
	if err != nil {
		return fmt.Errorf("making room for circuit directory %s: %w", out, err)
	}
	defer os.RemoveAll(fresh)
	for name, content := range files {
		if err := writeFile(filepath.Join(fresh, name), content); err != nil {
			return err
		}
	}
	// MkdirTemp makes it private, but clients run under another user.
	if err := os.Chmod(fresh, 0o755); err != nil {
		return fmt.Errorf("opening circuit directory %s to its readers: %w", fresh, err)
	}
	return swap(fresh, out)
}

func swap(fresh, out string) error {
	// A directory cannot be renamed over a full one.
	if err := os.RemoveAll(out); err != nil {
		return fmt.Errorf("removing the former circuit directory %s: %w", out, err)
	}
	if err := os.Rename(fresh, out); err != nil {
		return fmt.Errorf("putting circuit directory %s in place: %w", out, err)
	}
	return nil
}

func writeFile(path string, content io.WriterTo) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("creating key file: %w", err)
	}
	defer file.Close()
	buffered := bufio.NewWriter(file)
	if _, err := content.WriteTo(buffered); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return file.Close()
}

// readFile fills target from path; what is named in the error is the file's role.
func readFile(role, path string, target io.ReaderFrom) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s cannot be opened: %w", role, err)
	}
	defer file.Close()
	if _, err := target.ReadFrom(bufio.NewReader(file)); err != nil {
		return fmt.Errorf("%s %s is damaged or truncated (run set-up again): %w", role, path, err)
	}
	return nil
}
