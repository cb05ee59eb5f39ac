"""Temporal interceptors of the worker: error translation and heartbeats."""
