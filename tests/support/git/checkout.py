"""Checkouts as the tests of them make and look at them."""

import contextlib
import os
from pathlib import Path

from clients.git.work_tree import GitSources
from tests.support.git.server import git


class Stopped(Exception):
    """What a beat raises when the activity was cancelled."""


def check_out(sources: GitSources, repo: Path | str, ref: str = "main") -> Path:
    """The directory, clean."""
    made = sources.checkout(str(repo), ref, lambda _: None)
    assert made.commit == git(Path(made.directory), "rev-parse", "HEAD")
    assert git(Path(made.directory), "status", "--porcelain", "--untracked-files=no") == ""
    return Path(made.directory)


def commands_with(word: str) -> list[str]:
    """Command lines of other processes that hold this word."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            text = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found += [text] if word in text and str(os.getpid()) != file.parent.name else []
    return found
