"""Calls to workflows: sessions, updates, following, lists and inspections."""
