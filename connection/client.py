"""The one way to reach Temporal, for worker and starter alike."""

from collections.abc import Mapping

from temporalio.client import Client


async def connect(environ: Mapping[str, str], *, identity: str = "", timeout: float = 8.0) -> Client:
    """A connected client; TemporalUnreachable within `timeout` seconds."""
    raise NotImplementedError
