"""Content to upload as a list of pieces, so that another process can read it from disk itself."""

import base64
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

_CHUNK = 1 << 20


class ContentChanged(Exception):
    """A file is no longer the one that was looked at; the argument is its path."""


class Piece(NamedTuple):
    """Literal bytes, or `size` bytes from `offset` of a file named by path or by an open descriptor."""

    data: bytes = b""
    path: str = ""
    fd: int = -1
    offset: int = 0
    size: int = 0

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self.data) or self.size


def length(pieces: Sequence[Piece]) -> int:
    """Bytes of all pieces."""
    return sum(piece.length for piece in pieces)


def read(pieces: Sequence[Piece]) -> Iterator[bytes]:
    """The bytes, at most 1 MiB at a time; ContentChanged when a file ends early or is gone."""
    for piece in pieces:
        if piece.path:
            yield from _file(piece)
        elif piece.fd >= 0:
            yield from _range(piece.fd, piece)
        elif piece.data:
            yield piece.data


def packed(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    """As JSON."""
    return [{**piece._asdict(), "data": base64.b64encode(piece.data).decode()} for piece in pieces]


def unpacked(found: Sequence[dict[str, Any]]) -> list[Piece]:
    """From JSON."""
    return [Piece(**{**one, "data": base64.b64decode(one["data"])}) for one in found]


def _file(piece: Piece) -> Iterator[bytes]:
    try:
        # The path was resolved when it was looked at: a link there now is somebody else's doing.
        fd = os.open(piece.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ContentChanged(piece.path) from error
    try:
        yield from _range(fd, piece)
    finally:
        os.close(fd)


def _range(fd: int, piece: Piece) -> Iterator[bytes]:
    done = 0
    while done < piece.size:
        chunk = os.pread(fd, min(_CHUNK, piece.size - done), piece.offset + done)
        if not chunk:
            raise ContentChanged(piece.path)
        done += len(chunk)
        yield chunk
