"""Errors of the connection to Temporal."""

from domain.errors import Unavailable


class TemporalUnreachable(Unavailable):
    """Nobody answers at TEMPORAL_ADDRESS, or not as this client may (exit 5)."""

    code = "TEMPORAL_DOWN"
