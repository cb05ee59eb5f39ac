"""Tells the data that a backend profile declares apart from the sources of a git tree, by their paths."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

ENV_FILE = ".env"  # of proverctl's settings, at the top of the repository


def is_data(path: str, patterns: Sequence[str]) -> bool:
    """Whether the path, or a directory above it, is declared; `*` matches within a part, `**` any number of parts."""
    return any(_matches(_parts(pattern), _parts(path), below=False) for pattern in patterns)


def may_hold_data(directory: str, patterns: Sequence[str]) -> bool:
    """Whether something below the directory may be declared."""
    return any(_matches(_parts(pattern), _parts(directory), below=True) for pattern in patterns)


def within(patterns: Sequence[str], base: str) -> list[str]:
    """Return the relative patterns of one step, seen from the repository."""
    return [f"{base.rstrip('/')}/{pattern}" if base else pattern for pattern in patterns]


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _matches(pattern: list[str], path: list[str], *, below: bool) -> bool:
    if not pattern:
        return True
    if not path:
        return below
    if pattern[0] == "**":
        return _matches(pattern[1:], path, below=below) or _matches(pattern, path[1:], below=below)
    return fnmatchcase(path[0], pattern[0]) and _matches(pattern[1:], path[1:], below=below)
