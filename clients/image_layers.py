"""Circuit files as uncompressed tar layers whose digest depends on content and names alone."""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from domain.errors import Unavailable

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_CHUNK = 1 << 20
_BLOCK = 512
_LARGE = 16 << 20  # bytes; a file from this size on is a layer of its own, the others share one


class Entry(NamedTuple):
    """One file of the image; `also` is a second name for the same content, stored once."""

    path: Path
    name: str
    size: int
    mode: int
    also: str = ""

    @property
    def identity(self) -> list[object]:
        """Changes when the file was changed, without reading it."""
        found = self.path.stat()
        stamp = [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        return [str(self.path), self.name, self.mode, self.also, *stamp]


class Layer(NamedTuple):
    """Descriptor of one layer; uncompressed, so its digest is also its diff id."""

    digest: str
    size: int


def group(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Which files share a layer: each large one has its own, so that a changed key does not move the others."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    small = [entry for entry in ordered if entry.size < _LARGE]
    return [*([small] if small else []), *([entry] for entry in ordered if entry.size >= _LARGE)]


def title(entries: Sequence[Entry]) -> str:
    """What people call this layer."""
    return entries[0].path.name if len(entries) == 1 else f"{len(entries)} circuit files"


def size(entries: Sequence[Entry]) -> int:
    """Bytes of the layer."""
    heads = sum(len(head) for head in (_directories(entries), *(_head(entry) for entry in entries)))
    links = sum(len(_link(entry)) for entry in entries)
    contents = sum(entry.size + _padding(entry.size) for entry in entries)
    return heads + links + contents + 2 * _BLOCK


def stream(entries: Sequence[Entry]) -> Iterator[bytes]:
    """The layer's bytes; Unavailable when a file is no longer the one that was looked at."""
    yield _directories(entries)
    for entry in entries:
        yield _head(entry)
        yield from _content(entry)
        yield b"\0" * _padding(entry.size) + _link(entry)
    yield b"\0" * (2 * _BLOCK)


def digest(entries: Sequence[Entry], progress: Callable[[int], None]) -> str:
    """sha256 of the layer, reading every file once."""
    running = hashlib.sha256()
    done = 0
    for chunk in stream(entries):
        running.update(chunk)
        done += len(chunk)
        progress(done)
    return f"sha256:{running.hexdigest()}"


def verified(entries: Sequence[Entry], expected: str) -> Iterator[bytes]:
    """The layer's bytes again; Unavailable at the end when they are not what was announced."""
    running = hashlib.sha256()
    for chunk in stream(entries):
        running.update(chunk)
        yield chunk
    if f"sha256:{running.hexdigest()}" != expected:
        raise _changed(entries[0])


def _content(entry: Entry) -> Iterator[bytes]:
    left = entry.size
    with os.fdopen(os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as file:
        while left:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise _changed(entry)
            left -= len(chunk)
            yield chunk


def _changed(entry: Entry) -> Unavailable:
    return Unavailable(
        f"{entry.path.name} changed while it was being sent",
        on=str(entry.path),
        do="let whatever writes the circuit directory finish; it is tried again",
        code="IMAGE_INPUT",
    )


def _directories(entries: Sequence[Entry]) -> bytes:
    """Explicit, since the classic Docker Engine gives implied parents mode 0600."""
    names = {name for entry in entries for name in (entry.name, entry.also) if name}
    parents = {parent for name in names for parent in PurePosixPath(name).parents if parent.name}
    heads = []
    for parent in sorted(parents):
        head = tarfile.TarInfo(f"{parent}/")
        head.type, head.mode = tarfile.DIRTYPE, 0o755
        heads.append(head)
    return b"".join(_bytes(head) for head in heads)


def _head(entry: Entry) -> bytes:
    head = tarfile.TarInfo(entry.name)
    head.size, head.mode = entry.size, entry.mode
    return _bytes(head)


def _link(entry: Entry) -> bytes:
    if not entry.also:
        return b""
    head = tarfile.TarInfo(entry.also)
    head.type, head.linkname, head.mode = tarfile.LNKTYPE, entry.name, entry.mode
    return _bytes(head)


def _bytes(head: tarfile.TarInfo) -> bytes:
    return head.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")  # owner 0, no time: TarInfo's defaults


def _padding(length: int) -> int:
    return -length % _BLOCK
