package block

import "testing"

// The circuit stays small enough for a domain of 4096, where a proof takes less than half a second.
func TestCircuitStaysSmall(t *testing.T) {
	compiled, err := Compile()
	if err != nil {
		t.Fatal(err)
	}
	if size := compiled.GetNbConstraints() + compiled.GetNbPublicVariables(); size > 4096 {
		t.Errorf("%d constraints do not fit in 4096", size)
	} else {
		t.Logf("%d constraints", size)
	}
}
