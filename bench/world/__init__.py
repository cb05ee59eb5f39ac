"""The embedded world as benchmarks see it: addresses, memory, histories and nodes."""
