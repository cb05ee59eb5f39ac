package keys

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"proverctl.example/prover/internal/block"
)

func paths(directory string) Paths {
	return Paths{
		Constraints: filepath.Join(directory, ConstraintsFile),
		Monomial:    filepath.Join(directory, MonomialFile),
		Lagrange:    filepath.Join(directory, LagrangeFile),
		Verifying:   filepath.Join(directory, VerifyingFile),
	}
}

func circuitDirectory(t *testing.T) string {
	t.Helper()
	files, err := SetUp()
	if err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join(t.TempDir(), "circuit")
	if err := WriteDirectory(directory, files); err != nil {
		t.Fatal(err)
	}
	return directory
}

func randomInput(t *testing.T) block.Input {
	t.Helper()
	input, err := block.RandomInput("0")
	if err != nil {
		t.Fatal(err)
	}
	return input
}

// A proof made from the written files verifies and belongs to its own block only.
func TestProofVerifiesForItsBlockOnly(t *testing.T) {
	directory := circuitDirectory(t)
	prover, err := LoadProver(paths(directory))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := LoadVerifier(filepath.Join(directory, VerifyingFile))
	if err != nil {
		t.Fatal(err)
	}
	input := randomInput(t)
	proof, err := prover.Prove(input)
	if err != nil {
		t.Fatal(err)
	}
	public, err := verifier.Verify(proof)
	if err != nil {
		t.Fatalf("a true proof was refused: %v", err)
	}
	for expected, candidate := range map[bool]block.Input{true: input, false: randomInput(t)} {
		if matches, err := MatchesTask(public, candidate); err != nil || matches != expected {
			t.Errorf("expected match %v, got %v (%v)", expected, matches, err)
		}
	}
	assertRefused(t, verifier, proof)
}

// Any damaged byte, missing tail or foreign message is refused, never a crash.
func assertRefused(t *testing.T, verifier *Verifier, proof []byte) {
	t.Helper()
	damaged := map[string][]byte{"empty": nil, "foreign": []byte("hello, world"), "cut": proof[:len(proof)-1], "longer": append(bytes.Clone(proof), 0)}
	for _, at := range []int{0, 5, 20, len(proof) / 2, len(proof) - 40, len(proof) - 1, 64 + claimedAt, 64 + claimedAt + 3} {
		copied := bytes.Clone(proof)
		copied[at] ^= 1
		damaged[fmt.Sprintf("byte %d", at)] = copied
	}
	for name, data := range damaged {
		if _, err := verifier.Verify(data); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: expected a refusal, got %v", name, err)
		}
	}
}

// Missing, truncated and mixed files are faults that name the file's role.
func TestLoadProverNamesTheFaultyFile(t *testing.T) {
	directory := circuitDirectory(t)
	if err := os.Truncate(filepath.Join(directory, MonomialFile), 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadProver(paths(directory)); err == nil || !strings.Contains(err.Error(), "srs_monomial_form") {
		t.Errorf("truncated SRS: got %v", err)
	}
	if err := os.Remove(filepath.Join(directory, ConstraintsFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadProver(paths(directory)); err == nil || !strings.Contains(err.Error(), "r1cs") {
		t.Errorf("missing constraints: got %v", err)
	}
}

func BenchmarkProve(b *testing.B) {
	directory := b.TempDir()
	files, err := SetUp()
	if err != nil {
		b.Fatal(err)
	}
	if err := WriteDirectory(filepath.Join(directory, "c"), files); err != nil {
		b.Fatal(err)
	}
	prover, err := LoadProver(paths(filepath.Join(directory, "c")))
	if err != nil {
		b.Fatal(err)
	}
	input, _ := block.RandomInput("0")
	for b.Loop() {
		if _, err := prover.Prove(input); err != nil {
			b.Fatal(err)
		}
	}
}
