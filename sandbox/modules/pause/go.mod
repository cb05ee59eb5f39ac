module prover-world/pause

go 1.24
