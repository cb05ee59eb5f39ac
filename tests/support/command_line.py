"""`proverctl` as a subprocess, with an environment of its own."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.temporal.world import World

BIN = Path(sys.executable).parent
KUBE = "provers"
PATIENCE = 30.0  # seconds for what the server does in its own time


class Done(NamedTuple):
    """What a command line left behind."""

    code: int
    out: str
    err: str


class Cli:
    """proverctl with an environment of its own: no repository, no .env, one Temporal namespace."""

    def __init__(self, environ: Mapping[str, str], directory: Path) -> None:
        """`directory` is where it is called."""
        self.environ = dict(environ)
        self.directory = directory

    async def begin(self, *arguments: str, **extra: str) -> asyncio.subprocess.Process:
        """Start it and do not wait."""
        # A script's background job ignores SIGINT, and so do its children: a user's shell does not do that to ours.
        return await asyncio.create_subprocess_exec(
            "env",
            "--default-signal=INT",
            str(BIN / "proverctl"),
            *arguments,
            env={**self.environ, **extra},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    async def end(self, process: asyncio.subprocess.Process) -> Done:
        """Its end."""
        out, err = await process.communicate()
        return Done(process.returncode or 0, out.decode(), err.decode())

    async def __call__(self, *arguments: str, **extra: str) -> Done:
        """Run it."""
        return await self.end(await self.begin(*arguments, **extra))


class Deployed(NamedTuple):
    """One namespace with workers, and the world that they act on."""

    world: World
    here: list[str]


async def said(process: asyncio.subprocess.Process, words: bytes) -> None:
    """Wait until a process says something on stderr."""
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        while words not in await process.stderr.readline():
            assert not process.stderr.at_eof(), "it ended without saying so"
