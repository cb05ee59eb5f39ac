"""Content to upload as a list of pieces, so that another process can read it from disk itself, from any offset on."""

import base64
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

_CHUNK = 1 << 20
T = TypeVar("T")


class ContentChanged(Exception):
    """A file is no longer the one that was looked at; the argument is its path."""


Stamp = list[int]  # of a file: device, inode, size, times of modification and change in ns


class Piece(NamedTuple):
    """Literal bytes, or `size` bytes from `offset` of a file named by path or by an open descriptor."""

    data: bytes = b""
    path: str = ""
    fd: int = -1
    offset: int = 0
    size: int = 0
    stamp: Stamp | None = None  # that the file at `path` must have before and after it is read

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self.data) or self.size


class Span(NamedTuple):
    """So many bytes of an open file from an offset on; they may turn out to be fewer."""

    fd: int
    offset: int
    size: int


def stamp(found: os.stat_result) -> Stamp:
    """Return a stamp that changes with the file, without reading it."""
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def length(pieces: Sequence[Piece]) -> int:
    """Bytes of all pieces."""
    return sum(piece.length for piece in pieces)


def read(pieces: Sequence[Piece], start: int = 0) -> Iterator[bytes]:
    """Yield the bytes from `start` on, at most 1 MiB at a time; ContentChanged when a file changed or is gone."""
    for piece, skipped in _rest(pieces, start):
        if piece.path:
            yield from _file(piece, skipped, _range)
        elif piece.fd >= 0:
            yield from _range(piece.fd, piece, skipped)
        else:
            yield piece.data[skipped:]


def spans(pieces: Sequence[Piece], start: int = 0) -> Iterator[bytes | Span]:
    """As `read`, but what is in files is named instead of read, at most 1 MiB at a time.

    Whoever takes it tells by `Span.size` alone how much was announced; ContentChanged as in `read`.
    """
    for piece, skipped in _rest(pieces, start):
        if piece.path:
            yield from _file(piece, skipped, _spans)
        elif piece.fd >= 0:
            yield from _spans(piece.fd, piece, skipped)
        else:
            yield piece.data[skipped:]


def packed(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    """As JSON."""
    return [{**piece._asdict(), "data": base64.b64encode(piece.data).decode()} for piece in pieces]


def unpacked(found: Sequence[dict[str, Any]]) -> list[Piece]:
    """From JSON."""
    return [Piece(**{**one, "data": base64.b64decode(one["data"])}) for one in found]


def _rest(pieces: Sequence[Piece], start: int) -> Iterator[tuple[Piece, int]]:
    """Yield the pieces that reach beyond `start`, and the offset within each."""
    for piece in pieces:
        skipped = min(start, piece.length)
        start -= skipped
        if skipped < piece.length:
            yield piece, skipped


def _file(piece: Piece, skipped: int, parts: "Callable[[int, Piece, int], Iterator[T]]") -> Iterator[T]:
    try:
        # The path was resolved when it was looked at: a link there now is somebody else's doing.
        fd = os.open(piece.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ContentChanged(piece.path) from error
    try:
        _compare(fd, piece)
        yield from parts(fd, piece, skipped)
        _compare(fd, piece)
    finally:
        os.close(fd)


def _compare(fd: int, piece: Piece) -> None:
    if piece.stamp is not None and stamp(os.fstat(fd)) != piece.stamp:
        raise ContentChanged(piece.path)


def _range(fd: int, piece: Piece, skipped: int) -> Iterator[bytes]:
    done = skipped
    while done < piece.size:
        chunk = os.pread(fd, min(_CHUNK, piece.size - done), piece.offset + done)
        if not chunk:
            raise ContentChanged(piece.path)
        done += len(chunk)
        yield chunk


def _spans(fd: int, piece: Piece, skipped: int) -> Iterator[Span]:
    for done in range(skipped, piece.size, _CHUNK):
        yield Span(fd, piece.offset + done, min(_CHUNK, piece.size - done))
