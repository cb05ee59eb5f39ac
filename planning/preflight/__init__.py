"""Checks before a deploy, each with a verdict and a remedy."""
