"""The only module that knows the worker: `proverctl worker`, and `--inline` for the time a command waits."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from temporalio.client import Client

from starter.cli import terminal
from worker.main import run, running


@asynccontextmanager
async def inline_worker(client: Client, environ: Mapping[str, str]) -> AsyncIterator[None]:
    """Run all roles until the command ends; the next worker continues what was begun."""
    terminal.note("running a worker in this process (--inline)")
    # What fails is shown by the deployment's status; the SDK would add a traceback for each attempt.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
    async with running(client, environ):
        yield


def work(environ: Mapping[str, str], roles: tuple[str, ...]) -> None:
    """Work until SIGTERM or SIGINT."""
    asyncio.run(run(environ, roles))
