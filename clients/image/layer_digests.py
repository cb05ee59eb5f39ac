"""Turns circuit files into layers: their digests from memory where the files are as they were, else by reading them."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from clients.image import layers
from clients.image.layers import LayerFile
from clients.image.manifest import Layer
from clients.image.progress import ImageProgress
from clients.image.state import ImageState
from clients.registry.connection_pool import Cancelled
from clients.registry.content import length

_AT_ONCE = min(4, os.cpu_count() or 1)  # files; hashing is bound by the processor


class Reader:
    """Reads each file once in its life, several at a time."""

    def __init__(self, state: ImageState, told: ImageProgress) -> None:
        self._state = state
        self._told = told
        self._failed = threading.Event()

    def remembered(self, groups: Sequence[Sequence[LayerFile]]) -> list[Layer] | None:
        """Return the layers without reading a file; None when one has to be read."""
        digests = [self._state.known(*_key(entries)) for entries in groups]
        if None in digests:
            return None
        return [_layer(entries, digest or "") for entries, digest in zip(groups, digests, strict=True)]

    def layers(self, groups: Sequence[Sequence[LayerFile]]) -> list[Layer]:
        """Return the layers; Unavailable (IMAGE_INPUT) when a file changes while it is read."""
        known = [self._state.known(*_key(entries)) for entries in groups]
        unknown = [index for index, digest in enumerate(known) if digest is None]
        if unknown:
            self._told.read([(str(index), *_size(groups[index])) for index in unknown])
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = dict(
                zip(unknown, pool.map(lambda index: self._read(str(index), groups[index]), unknown), strict=True)
            )
        for index, digest in found.items():
            self._state.know(*_key(groups[index]), value=digest)
        return [_layer(entries, known[index] or found[index]) for index, entries in enumerate(groups)]

    def _read(self, key: str, entries: Sequence[LayerFile]) -> str:
        try:
            return layers.digest(layers.pieces(entries), self._counter(key))
        except BaseException:
            self._failed.set()
            raise

    def _counter(self, key: str) -> Callable[[int], None]:
        def count(done: int) -> None:
            if self._failed.is_set():
                raise Cancelled
            self._told.moved(key, done)

        return count


def _key(entries: Sequence[LayerFile]) -> list[object]:
    return ["digest", *(entry.identity for entry in entries)]


def _size(entries: Sequence[LayerFile]) -> tuple[str, int]:
    return layers.title(entries), length(layers.pieces(entries))


def _layer(entries: Sequence[LayerFile], digest: str) -> Layer:
    content = layers.pieces(entries)
    return Layer(digest, layers.title(entries), length(content), content)
