"""Decisions about images: transfer progress, pulls ahead of a rollout and retention."""
