module prover-world/checksum

go 1.24
