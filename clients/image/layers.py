"""Circuit files as uncompressed tar layers whose digest depends on content and names alone."""

import hashlib
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from clients.registry.content import ContentChanged, Piece, Stamp, read
from domain.errors import Unavailable

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_BLOCK = 512
_LARGE = 16 << 20  # bytes; a file from this size on is a layer of its own, the others share one


class LayerFile(NamedTuple):
    """File of the image; `also` is a second name for the same content, stored once."""

    path: Path
    name: str
    size: int
    mode: int
    also: str = ""
    stamp: Stamp | None = None  # of the file when it was looked at

    @property
    def identity(self) -> list[object]:
        """Changes when the file was changed, without reading it."""
        return [str(self.path), self.name, self.mode, self.also, self.stamp]


def group(entries: Sequence[LayerFile]) -> list[list[LayerFile]]:
    """Group the files by layer: each large one has its own, so that a changed key does not move the others."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    small = [entry for entry in ordered if entry.size < _LARGE]
    return [*([small] if small else []), *([entry] for entry in ordered if entry.size >= _LARGE)]


def title(entries: Sequence[LayerFile]) -> str:
    """Return the name of the layer for users."""
    return entries[0].path.name if len(entries) == 1 else f"{len(entries)} circuit files"


def pieces(entries: Sequence[LayerFile]) -> list[Piece]:
    """Return the layer's content: tar headers, and the files themselves by path."""
    found = [Piece(_directories(entries))]
    for entry in entries:
        found.append(Piece(_head(entry)))
        found.append(Piece(path=str(entry.path), size=entry.size, stamp=entry.stamp))
        found.append(Piece(b"\0" * (-entry.size % _BLOCK) + _link(entry)))
    return [*found, Piece(b"\0" * (2 * _BLOCK))]


def digest(content: Sequence[Piece], progress: Callable[[int], None]) -> str:
    """sha256 of the layer, reading every file once; Unavailable when one changes meanwhile."""
    running = hashlib.sha256()
    done = 0
    try:
        for chunk in read(content):
            running.update(chunk)
            done += len(chunk)
            progress(done)
    except ContentChanged as error:
        raise Unavailable(
            "a circuit file changed while it was read",
            on=str(error),
            do="let whatever writes the circuit directory finish",
            code="IMAGE_INPUT",
        ) from error
    return f"sha256:{running.hexdigest()}"


def _directories(entries: Sequence[LayerFile]) -> bytes:
    """Explicit, since the classic Docker Engine gives implied parents mode 0600."""
    names = {name for entry in entries for name in (entry.name, entry.also) if name}
    parents = {parent for name in names for parent in PurePosixPath(name).parents if parent.name}
    heads = []
    for parent in sorted(parents):
        head = tarfile.TarInfo(f"{parent}/")
        head.type, head.mode = tarfile.DIRTYPE, 0o755
        heads.append(head)
    return b"".join(_bytes(head) for head in heads)


def _head(entry: LayerFile) -> bytes:
    head = tarfile.TarInfo(entry.name)
    head.size, head.mode = entry.size, entry.mode
    return _bytes(head)


def _link(entry: LayerFile) -> bytes:
    if not entry.also:
        return b""
    head = tarfile.TarInfo(entry.also)
    head.type, head.linkname, head.mode = tarfile.LNKTYPE, entry.name, entry.mode
    return _bytes(head)


def _bytes(head: tarfile.TarInfo) -> bytes:
    return head.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")  # owner 0, no time: TarInfo's defaults
