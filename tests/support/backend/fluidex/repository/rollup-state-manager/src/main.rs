// the rollup state manager
