package keys

import (
	"bytes"
	"fmt"

	plonk "github.com/consensys/gnark/backend/plonk/bn254"

	"proverctl.example/prover/internal/block"
)

// Verifier checks proofs against one verifying key.
type Verifier struct {
	key *plonk.VerifyingKey
}

// LoadVerifier reads a verifying key.
func LoadVerifier(path string) (*Verifier, error) {
	key := &plonk.VerifyingKey{}
	if err := readFile("verifying key", path, key); err != nil {
		return nil, err
	}
	return &Verifier{key: key}, nil
}

// Verify returns the public input that the proof proves. Everything wrong with the proof
// is an ErrRefused.
func (v *Verifier) Verify(data []byte) ([]byte, error) {
	public, proof, err := splitProof(data, v.key.NbPublicWitness())
	if err != nil {
		return nil, err
	}
	if err := plonk.Verify(proof, v.key, public); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return encode(public), nil
}

// MatchesTask says whether a verified public input belongs to this block. Without it, a
// valid proof of another block would settle the task.
func MatchesTask(public []byte, input block.Input) (bool, error) {
	expected, err := publicPart(input)
	if err != nil {
		return false, err
	}
	return bytes.Equal(encode(expected), public), nil
}
