"""Entries of a git tree and its submodules."""
