"""Settings: their table, their syntax, and the spec that is built from them."""
