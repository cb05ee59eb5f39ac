package block

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark/test"
)

// A block's computed new root satisfies the circuit; another root does not.
func TestCircuitAcceptsOnlyTheComputedRoot(t *testing.T) {
	input, err := RandomInput("7")
	if err != nil {
		t.Fatal(err)
	}
	root, err := input.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	assignment := Circuit{OldRoot: input.OldRoot, NewRoot: root}
	for i, transaction := range input.Transactions {
		assignment.Transactions[i] = transaction
	}
	if err := test.IsSolved(&Circuit{}, &assignment, ecc.BN254.ScalarField()); err != nil {
		t.Errorf("the computed root was refused: %v", err)
	}
	assignment.NewRoot = "1"
	if err := test.IsSolved(&Circuit{}, &assignment, ecc.BN254.ScalarField()); err == nil {
		t.Error("a wrong root was accepted")
	}
}

// A faulty input is refused with the name of the faulty field.
func TestParseInputNamesTheFault(t *testing.T) {
	input, _ := RandomInput("0")
	faulty := input
	faulty.Transactions[3] = "not a number"
	for name, data := range map[string]any{
		"unknown field":   map[string]string{"sender": "me"},
		"transactions[3]": faulty,
	} {
		text, _ := json.Marshal(data)
		if _, err := ParseInput(text); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("expected a fault naming %q, got %v", name, err)
		}
	}
}
