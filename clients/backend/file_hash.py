"""Hashes of file contents, which decide whether a step has to be done again."""

import hashlib
from pathlib import Path

from clients.backend.polling import PollingInterval
from domain.ports import Beat

_CHUNK = 1 << 20


def content(path: Path, beat: Beat) -> str:
    """Return a hash of the file; heartbeat while it is read."""
    running = hashlib.sha256()
    pace = PollingInterval(beat)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            running.update(chunk)
            pace.beat(lambda: f"reading {path.name}")
    return running.hexdigest()


def files(directory: Path, patterns: list[str]) -> list[Path]:
    """Return the files that the globs name."""
    return sorted({path for pattern in patterns for path in directory.glob(pattern) if path.is_file()})


def tree(path: Path, beat: Beat) -> str:
    """Return a hash of a file, or of all files below a directory with their names."""
    if path.is_file():
        return content(path, beat)
    below = {str(file.relative_to(path)): content(file, beat) for file in files(path, ["**/*"])}
    return hashlib.sha256(repr(sorted(below.items())).encode()).hexdigest()
