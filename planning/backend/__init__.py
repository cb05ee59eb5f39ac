"""Backend profiles as data: parsing, validation, expansion, order of steps and compose health."""
