"""Names the changes of a dirty tree by their content: other changes are another stage, equal ones are the same."""

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from clients.git.command import Answer

DIGITS = 8
_WHOLE = 16 << 20  # bytes; of a larger file the ends and the size count, for it may be a key of tens of GB
_END = 1 << 20
_MOST = 20_000  # paths whose content counts; of the others their number
_DEEP = 8  # levels of submodules

Ask = Callable[..., Answer]  # git in a directory: the directory, then its arguments

STATUS = ("status", "--porcelain=v1", "-z", "--no-renames")


def changed(answer: Answer) -> list[str]:
    """The paths of STATUS."""
    return [entry[3:] for entry in answer.text.split("\0") if entry]


def fingerprint(ask: Ask, top: Path, options: Sequence[str]) -> str:
    """Of everything that differs from the commit: tracked, new, and in submodules; whether it is staged is the same."""
    running = hashlib.sha256()
    _add(running.update, ask, top, options, _DEEP)
    return running.hexdigest()[:DIGITS]


def _add(update: Callable[[bytes], None], ask: Ask, top: Path, options: Sequence[str], deep: int) -> None:
    paths = sorted(set(changed(ask(top, *STATUS, *options))))
    update(f"{len(paths)}\0".encode())
    for path in paths[:_MOST]:
        update(os.fsencode(path.rstrip("/")) + b"\0")
        place = top / path
        if place.is_dir() and not place.is_symlink() and (place / ".git").exists():
            update(ask(place, "rev-parse", "--verify", "--quiet", "HEAD").out)
            if deep:
                _add(update, ask, place, options, deep - 1)
        else:
            update(_content(place))


def _content(path: Path) -> bytes:
    """A digest of one path's kind and content; never follows a link, never opens a pipe or device."""
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
