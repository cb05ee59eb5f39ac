// Package block is the example's statement: "these private transactions turn the old
// state root into the new one". It exists so that proofs in a demo prove something.
package block

import (
	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark/constraint"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/frontend/cs/scs"
	"github.com/consensys/gnark/std/hash/mimc"
)

// Transactions is the number of transactions in one block. Four make about 3 500
// constraints: a proof stays well below a second, even on two busy cores.
const Transactions = 4

// Circuit chains MiMC over the transactions, starting from the old root.
type Circuit struct {
	OldRoot      frontend.Variable `gnark:",public"`
	NewRoot      frontend.Variable `gnark:",public"`
	Transactions [Transactions]frontend.Variable
}

// Define states that hashing every transaction into the old root gives the new root.
func (c *Circuit) Define(api frontend.API) error {
	root := c.OldRoot
	for _, transaction := range c.Transactions {
		hasher, err := mimc.NewMiMC(api)
		if err != nil {
			return err
		}
		hasher.Write(root, transaction)
		root = hasher.Sum()
	}
	api.AssertIsEqual(root, c.NewRoot)
	return nil
}

// Compile turns the circuit into PLONK constraints over BN254.
func Compile() (constraint.ConstraintSystem, error) {
	return frontend.Compile(ecc.BN254.ScalarField(), scs.NewBuilder, &Circuit{})
}
