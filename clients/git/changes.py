"""Finds what differs from the commit, data apart, and names it by its content: other changes are another stage."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clients.git.command import GitResult
from planning.git.data_paths import ENV_FILE, is_data, may_hold_data

DIGITS = 8
_WHOLE = 16 << 20  # bytes; of a larger file the ends and the size count, for it may be a key of tens of GB
_END = 1 << 20
_MOST = 20_000  # paths whose content counts; of the others their number
_DEEP = 8  # levels of submodules
_STATUS = ("status", "--porcelain=v2", "-z", "--no-renames")
_FIELDS = {"1": 8, "u": 10}  # of a line of the status, before the path
_NEW = "?"

Ask = Callable[..., GitResult]  # git in a directory: the directory, then its arguments


class Scope(NamedTuple):
    """Definition of what counts as a change."""

    new: bool = True  # files that git does not track
    data: Sequence[str] = ()  # patterns of paths that never count, from the top of the tree


class _Entry(NamedTuple):
    """A line of the status; `moved` says of a submodule that it is at, or the index names, another commit."""

    kind: str
    path: str
    submodule: bool = False
    moved: bool = False


class _ChangedTree(NamedTuple):
    """A work tree, or that of a submodule; `within` is the way to it from the top, empty or with a slash at its end."""

    ask: Ask
    place: Path
    scope: Scope
    within: str = ""
    deep: int = _DEEP


def changes(ask: Ask, top: Path, scope: Scope, *, each: bool = False) -> list[str]:
    """Paths that differ from HEAD: changed, staged, or new and not ignored; a submodule off its pin, too.

    In a submodule at its pin the paths are those within. A directory in which everything is new is one path, except
    with `each`, or where some of it is data. Our own settings file at the top does not count unless it is tracked.
    """
    return sorted(set(_changes(_ChangedTree(ask, top, scope), each=each)))


def fingerprint(ask: Ask, top: Path, scope: Scope) -> str:
    """Of the content of all that differs from the commit; whether it is staged is the same."""
    running = hashlib.sha256()
    paths = changes(ask, top, scope, each=True)
    running.update(f"{len(paths)}\0".encode())
    for path in paths[:_MOST]:
        place = top / path
        running.update(os.fsencode(path.rstrip("/")) + b"\0")
        running.update(_head(ask, place) if _is_repository(place) else _content(place))
    return running.hexdigest()[:DIGITS]


def _changes(tree: _ChangedTree, *, each: bool, under: Sequence[str] = ()) -> Iterator[str]:
    for entry in _entries(tree, each=each, under=under):
        path = f"{tree.within}{entry.path}"
        place, data = tree.place / entry.path, tree.scope.data
        if is_data(path, data) or (path == ENV_FILE and entry.kind == _NEW):
            continue
        repository = _is_repository(place)
        if entry.kind == _NEW and not each and not repository and path.endswith("/") and may_hold_data(path, data):
            yield from _changes(tree, each=True, under=[entry.path])
            continue
        if entry.moved or not (entry.submodule and repository):
            yield path
        if repository and tree.deep:
            inner = tree._replace(place=place, within=f"{path.rstrip('/')}/", deep=tree.deep - 1)
            yield from _changes(inner, each=each)


def _entries(tree: _ChangedTree, *, each: bool, under: Sequence[str]) -> Iterator[_Entry]:
    new = ("all" if each else "normal") if tree.scope.new else "no"
    inner = "none" if tree.scope.new else "untracked"
    options = (f"--untracked-files={new}", f"--ignore-submodules={inner}")
    paths = ("--", *(f":(top,literal){path}" for path in under)) if under else ()
    for line in filter(None, tree.ask(tree.place, *_STATUS, *options, *paths).text.split("\0")):
        kind, _, rest = line.partition(" ")
        if kind == _NEW:
            yield _Entry(kind, rest)
        elif kind in _FIELDS:
            *fields, path = rest.split(" ", _FIELDS[kind] - 1)
            state, submodule = fields[:2]
            # Of a submodule that is not as the index says, S<commit changed><modified><untracked>.
            moved = submodule.startswith("SC") or state[0] != "." or kind != "1"
            yield _Entry(kind, path, submodule.startswith("S"), moved)


def _is_repository(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink() and (place / ".git").exists()


def _head(ask: Ask, place: Path) -> bytes:
    return ask(place, "rev-parse", "--verify", "--quiet", "HEAD", checked=False).out


def _content(path: Path) -> bytes:
    """Return a digest of a path's kind and content, without following a link or opening a pipe or device."""
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            return b"link" + hashlib.sha256(os.fsencode(path.readlink())).digest()
        if not stat.S_ISREG(found.st_mode):
            return f"kind {stat.S_IFMT(found.st_mode)}".encode()
        kind = b"executable" if found.st_mode & stat.S_IXUSR else b"file"
        return kind + str(found.st_size).encode() + _digest(path, found.st_size)
    except FileNotFoundError:
        return b"gone"
    except OSError as error:
        return f"unreadable {error.errno}".encode()


def _digest(path: Path, size: int) -> bytes:
    running = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if size > _WHOLE:
            running.update(file.read(_END))
            file.seek(-_END, os.SEEK_END)
        while chunk := file.read(_END):
            running.update(chunk)
    return running.digest()
