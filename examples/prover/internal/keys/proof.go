package keys

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	plonk "github.com/consensys/gnark/backend/plonk/bn254"

	"proverctl.example/prover/internal/block"
)

// ErrRefused says that bytes are not a proof of what they claim, or no proof at all.
var ErrRefused = errors.New("proof refused")

// A PLONK proof of this circuit has one size only: eight points, the claimed values behind
// their count, a point and a value of the shifted opening, and a count of no commitments.
const (
	unit          = fr.Bytes // a compressed point takes as much as a field element
	claimedValues = 6
	claimedAt     = 8 * unit
	proofSize     = claimedAt + 4 + claimedValues*unit + 2*unit + 4
)

// joinProof puts the public input in front of its proof, so that a proof can be verified
// without knowing the task: 32 bytes big-endian for each public value, then the proof.
func joinProof(public fr.Vector, proof *plonk.Proof) ([]byte, error) {
	out := bytes.NewBuffer(encode(public))
	if _, err := proof.WriteTo(out); err != nil {
		return nil, fmt.Errorf("encoding the proof: %w", err)
	}
	return out.Bytes(), nil
}

// splitProof takes apart what joinProof made; foreign bytes are refused. Counts are checked
// before decoding, because the decoder allocates whatever they ask for.
func splitProof(data []byte, publics int) (fr.Vector, *plonk.Proof, error) {
	if len(data) != publics*unit+proofSize {
		return nil, nil, fmt.Errorf("%w: it has %d bytes instead of %d", ErrRefused, len(data), publics*unit+proofSize)
	}
	public := make(fr.Vector, publics)
	for i := range public {
		if err := public[i].SetBytesCanonical(data[i*unit : (i+1)*unit]); err != nil {
			return nil, nil, fmt.Errorf("%w: public value %d: %w", ErrRefused, i, err)
		}
	}
	rest := data[publics*unit:]
	if binary.BigEndian.Uint32(rest[claimedAt:]) != claimedValues || binary.BigEndian.Uint32(rest[proofSize-4:]) != 0 {
		return nil, nil, fmt.Errorf("%w: its counts are not those of this circuit", ErrRefused)
	}
	proof := &plonk.Proof{}
	if _, err := proof.ReadFrom(bytes.NewReader(rest)); err != nil {
		return nil, nil, fmt.Errorf("%w: unreadable proof: %w", ErrRefused, err)
	}
	return public, proof, nil
}

// publicPart is the public input of a block: its old and new root.
func publicPart(input block.Input) (fr.Vector, error) {
	full, err := input.Witness()
	if err != nil {
		return nil, err
	}
	public, err := full.Public()
	if err != nil {
		return nil, fmt.Errorf("splitting the witness: %w", err)
	}
	return public.Vector().(fr.Vector), nil
}

func encode(public fr.Vector) []byte {
	var out []byte
	for _, element := range public {
		bytes := element.Bytes()
		out = append(out, bytes[:]...)
	}
	return out
}
