"""The way to Temporal, shared by worker and starter."""
