"""The workflow that brings a backend to a desired state and keeps it there."""
