"""The steps that touch the world: each may be killed at any point and run again, and ends the same."""
