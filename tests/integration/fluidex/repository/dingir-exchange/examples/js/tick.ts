the simulated trades
