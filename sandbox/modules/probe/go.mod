module prover-world/probe

go 1.24
