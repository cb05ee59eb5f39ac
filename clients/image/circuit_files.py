"""Faults of one circuit file (absent content, pointers, truncated keys), found without reading it whole."""

import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from clients.git.command import GitCommand, Overrun
from domain.errors import Unavailable
from planning.git import tree

_POINTER = b"version https://git-lfs"
_POINTER_SIZE = 1024  # bytes; git-lfs's own limit for what it takes for a pointer
_PROMISED = re.compile(rb"^size ([0-9]{1,18})$", re.MULTILINE)
_R1CS = b"r1cs"
_SECTIONS = 64  # iden3's format has five kinds
_MOST_POINTS = 1 << 28  # of the curve: no larger power of two has a root of unity
_G1, _G2 = 64, 128  # bytes of a point, uncompressed


def fault(path: Path, promised: int | None) -> str:
    """Why this file cannot go into an image, as the end of a sentence; empty when it can.

    `promised` is the size that the repository's git-LFS pointer names.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _empty_or_pointer(file, size) or _short(size, promised) or _malformed(path, file, size)
    except OSError as error:
        return f"cannot be read by the worker: {error.strerror}"


def promised_sizes(root: Path) -> dict[str, int]:
    """Sizes by path below `root` that HEAD's git-LFS pointers name; empty where git cannot say."""
    command = GitCommand(root, [f"safe.directory={one}" for one in (root, *root.parents)])
    try:
        listed = command.run("ls-tree", "-r", "-l", "-z", "HEAD")
        small = [entry for entry in tree.entries(listed.text) if 0 < entry.size <= _POINTER_SIZE]
        blobs = {entry.path: command.run("cat-file", "blob", entry.object).out for entry in small if _keys(entry.path)}
    except (Overrun, Unavailable):
        return {}
    sizes = {path: _PROMISED.search(blob) for path, blob in blobs.items() if blob.startswith(_POINTER)}
    return {path: int(match[1]) for path, match in sizes.items() if match}


def _keys(path: str) -> bool:
    return path.endswith((".r1cs", ".key", ".bin", ".dat"))


def _empty_or_pointer(file: BinaryIO, size: int) -> str:
    if not size:
        return "is empty"
    if size <= _POINTER_SIZE and file.read(len(_POINTER)) == _POINTER:
        return "is a git-LFS pointer, not the file"
    return ""


def _short(size: int, promised: int | None) -> str:
    if promised is None or size == promised:
        return ""
    return f"has {size} bytes, and its git-LFS pointer in HEAD says {promised}"


def _malformed(path: Path, file: BinaryIO, size: int) -> str:
    file.seek(0)
    if path.suffix == ".r1cs":
        return _constraints(file, size)
    return _points(file, size) if path.suffix == ".key" else ""


def _constraints(file: BinaryIO, size: int) -> str:
    """iden3's format: magic, version, number of sections, and each with its size; other formats are not judged."""
    head = file.read(12)
    if not head.startswith(_R1CS):
        return ""
    if len(head) < 12:  # noqa: PLR2004 - three words
        return _truncated(size, 12)
    count = struct.unpack("<I", head[8:])[0]
    if not 0 < count <= _SECTIONS:
        return f"is damaged: it claims to have {count} sections"
    end = 12
    for _ in range(count):
        file.seek(end)
        section = file.read(12)
        if len(section) < 12:  # noqa: PLR2004
            return _truncated(size, end + 12, least=True)
        end += 12 + struct.unpack("<Q", section[4:])[0]
    return _truncated(size, end)


def _points(file: BinaryIO, size: int) -> str:
    """Check a structured reference string: points of G1 and G2 after their counts; other formats are not judged."""
    first = file.read(8)
    count = int.from_bytes(first, "big") if len(first) == 8 else 0  # noqa: PLR2004
    if not 1 < count <= _MOST_POINTS or count & (count - 1):
        return ""
    end = 8 + count * _G1
    file.seek(end)
    second = file.read(8)
    if len(second) < 8:  # noqa: PLR2004
        return _truncated(size, end + 8, least=True)
    return _truncated(size, end + 8 + int.from_bytes(second, "big") * _G2)


def _truncated(size: int, whole: int, *, least: bool = False) -> str:
    if size < whole:
        return f"is truncated: it has {size} bytes of {'at least ' if least else ''}{whole}"
    return f"is damaged: it has {size} bytes where {whole} are due" if size > whole else ""


def shown(name: str) -> str:
    """Return a file's name as printable text, whatever bytes it has."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in name)


def named(faults: Mapping[str, str]) -> list[str]:
    """Sentences, by name."""
    return [f"{shown(name)} {why}" for name, why in sorted(faults.items())]
