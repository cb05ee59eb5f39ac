template Block: the source of the circuit
