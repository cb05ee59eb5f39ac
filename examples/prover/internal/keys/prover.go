package keys

import (
	"fmt"
	"io"

	"github.com/consensys/gnark-crypto/ecc/bn254/kzg"
	plonk "github.com/consensys/gnark/backend/plonk/bn254"
	cs "github.com/consensys/gnark/constraint/bn254"
	"github.com/consensys/gnark/test/unsafekzg"

	"proverctl.example/prover/internal/block"
)

// Paths are the four files a client's configuration names.
type Paths struct {
	Constraints, Monomial, Lagrange, Verifying string
}

// Prover holds everything loaded that a proof needs.
type Prover struct {
	constraints *cs.SparseR1CS
	key         *plonk.ProvingKey
}

// LoadProver reads and checks all four files.
func LoadProver(paths Paths) (*Prover, error) {
	prover := &Prover{constraints: &cs.SparseR1CS{}, key: &plonk.ProvingKey{Vk: &plonk.VerifyingKey{}}}
	for _, part := range []struct {
		role, path string
		target     io.ReaderFrom
	}{
		{"r1cs", paths.Constraints, prover.constraints},
		{"srs_monomial_form", paths.Monomial, &prover.key.Kzg},
		{"srs_lagrange_form", paths.Lagrange, &prover.key.KzgLagrange},
		{"vk", paths.Verifying, prover.key.Vk},
	} {
		if err := readFile(part.role, part.path, part.target); err != nil {
			return nil, err
		}
	}
	return prover, prover.checkSizes()
}

// checkSizes catches files of different set-ups, which would fail (or panic) in mid-proof.
func (p *Prover) checkSizes() error {
	size := int(p.key.Vk.Size)
	if len(p.key.Kzg.G1) != size+3 || len(p.key.KzgLagrange.G1) != size {
		return fmt.Errorf("keys are not of one set-up (vk has size %d, mon.key %d points, lag.key %d): run set-up again",
			size, len(p.key.Kzg.G1), len(p.key.KzgLagrange.G1))
	}
	return nil
}

// Prove returns the proof of one block, in its wire form.
func (p *Prover) Prove(input block.Input) ([]byte, error) {
	full, err := input.Witness()
	if err != nil {
		return nil, fmt.Errorf("computing the witness: %w", err)
	}
	proof, err := plonk.Prove(p.constraints, p.key, full)
	if err != nil {
		return nil, fmt.Errorf("proving: %w", err)
	}
	public, err := publicPart(input)
	if err != nil {
		return nil, err
	}
	return joinProof(public, proof)
}

// SetUp computes every file of a circuit directory. The SRS comes from a secret that this
// process knew: whoever runs it could forge proofs. Enough for an example, never for money.
func SetUp() (map[string]io.WriterTo, error) {
	compiled, err := block.Compile()
	if err != nil {
		return nil, fmt.Errorf("compiling the circuit: %w", err)
	}
	monomial, lagrange, err := unsafekzg.NewSRS(compiled)
	if err != nil {
		return nil, fmt.Errorf("making the toy SRS: %w", err)
	}
	constraints := compiled.(*cs.SparseR1CS)
	proving, verifying, err := plonk.Setup(constraints, *monomial.(*kzg.SRS), *lagrange.(*kzg.SRS))
	if err != nil {
		return nil, fmt.Errorf("setting up PLONK: %w", err)
	}
	return map[string]io.WriterTo{
		ConstraintsFile: constraints,
		MonomialFile:    &proving.Kzg,
		LagrangeFile:    &proving.KzgLagrange,
		VerifyingFile:   verifying,
	}, nil
}
