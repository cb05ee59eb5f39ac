"""The stories of each operation, told in Temporal workflows: deterministic, and without any contact to the world."""
