package block

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr/mimc"
	"github.com/consensys/gnark/backend/witness"
	"github.com/consensys/gnark/frontend"
)

// Input is a task's input as it stands in the table: decimal field elements.
type Input struct {
	OldRoot      string               `json:"old_root"`
	Transactions [Transactions]string `json:"transactions"`
}

// ParseInput reads a task's input; every fault names the field it is in.
func ParseInput(data []byte) (Input, error) {
	var input Input
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&input); err != nil {
		return Input{}, fmt.Errorf("task input is not a block: %w", err)
	}
	if _, _, err := input.elements(); err != nil {
		return Input{}, err
	}
	return input, nil
}

// RandomInput is a block of random transactions on top of oldRoot.
func RandomInput(oldRoot string) (Input, error) {
	input := Input{OldRoot: oldRoot}
	for i := range input.Transactions {
		var raw [fr.Bytes]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return Input{}, fmt.Errorf("no randomness for a simulated transaction: %w", err)
		}
		var element fr.Element
		input.Transactions[i] = element.SetBytes(raw[:]).String()
	}
	return input, nil
}

// NewRoot computes the root that a proof of this block ends in.
func (i Input) NewRoot() (string, error) {
	root, transactions, err := i.elements()
	if err != nil {
		return "", err
	}
	for _, transaction := range transactions {
		hasher := mimc.NewMiMC()
		for _, element := range []fr.Element{root, transaction} {
			data := element.Bytes()
			if _, err := hasher.Write(data[:]); err != nil {
				return "", fmt.Errorf("hashing a transaction: %w", err)
			}
		}
		root.SetBytes(hasher.Sum(nil))
	}
	return root.String(), nil
}

// Witness assigns the circuit's variables; the private ones only when asked for.
func (i Input) Witness(options ...frontend.WitnessOption) (witness.Witness, error) {
	newRoot, err := i.NewRoot()
	if err != nil {
		return nil, err
	}
	assignment := Circuit{OldRoot: i.OldRoot, NewRoot: newRoot}
	for n, transaction := range i.Transactions {
		assignment.Transactions[n] = transaction
	}
	return frontend.NewWitness(&assignment, ecc.BN254.ScalarField(), options...)
}

func (i Input) elements() (root fr.Element, transactions [Transactions]fr.Element, err error) {
	if _, err = root.SetString(i.OldRoot); err != nil {
		return root, transactions, fmt.Errorf("old_root %q is no field element: %w", i.OldRoot, err)
	}
	for n, text := range i.Transactions {
		if _, err = transactions[n].SetString(text); err != nil {
			return root, transactions, fmt.Errorf("transactions[%d] %q is no field element: %w", n, text, err)
		}
	}
	return root, transactions, nil
}
