"""The composition root: settings → clients → activities → Workers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from temporalio.client import Client

ROLES = ("deploy", "kube", "host")


@asynccontextmanager
async def running(client: Client, environ: Mapping[str, str], roles: tuple[str, ...] = ROLES) -> AsyncIterator[None]:
    """Workers of these roles run for the time of the context."""
    raise NotImplementedError
    yield


async def run(environ: Mapping[str, str], roles: tuple[str, ...] = ROLES) -> None:
    """Work until SIGTERM or SIGINT."""
    raise NotImplementedError


def main(argv: list[str] | None = None) -> int:
    """`python -m worker [--roles deploy,kube,host]`; the exit code."""
    raise NotImplementedError
