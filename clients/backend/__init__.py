"""Runs a backend profile on this host: its steps, processes, logs, ports, records and purge."""
