"""Files, locks, environment and TCP of this machine."""
