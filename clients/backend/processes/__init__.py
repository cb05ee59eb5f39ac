"""Supervised processes of a backend: supervisord, the runner that it starts, and what they report."""
