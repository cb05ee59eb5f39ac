"""Everything that decides: data in, value out; no I/O and no clock, so that tables can test it."""
