"""State of the image pipeline on this host: one lock per set of inputs, uploads under way, and facts.

Facts spare work and may be lost: digests of files by path, inode, size and times; sizes of layers; where blobs are.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from clients.registry.upload_journal import UploadJournal
from clients.system import file_lock
from clients.system.json_file import strings, write

_STALE_SECONDS = 60.0
_KEPT = 2000  # facts; one circuit has about ten files


class ImageState:
    """Files under `folder` for one set of inputs, told apart by `key`."""

    def __init__(self, folder: Path, key: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.folder = folder
        self._lock = folder / f"{name}.lock"
        self.journal = UploadJournal(folder / f"{name}.uploads")
        self._facts = folder / "facts.json"

        _sweep(folder)

    def locked(self, waiting: Callable[[], None]) -> contextlib.AbstractContextManager[int]:
        """Hold the lock, as a descriptor that may be inherited; `waiting` is called until then and may raise."""
        return file_lock.held(self._lock, waiting)

    def known(self, *key: object) -> str | None:
        """Return what was remembered for a key."""
        return strings(self._facts).get(_short(key))

    def know(self, *key: object, value: str) -> None:
        """Remember a fact, forgetting the oldest when there are many."""
        name = _short(key)
        facts = strings(self._facts)
        if facts.get(name) == value:
            return
        facts.pop(name, None)
        write(self._facts, json.dumps(dict([*facts.items(), (name, value)][-_KEPT:])))

    def forget(self, *key: object) -> None:
        """Forget a fact that may not be true any more."""
        facts = strings(self._facts)
        if facts.pop(_short(key), None) is not None:
            write(self._facts, json.dumps(facts))


def _sweep(folder: Path) -> None:
    """Drafts of killed processes; one that is being written is a second old at most."""
    for draft in folder.glob("*.draft"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
                draft.unlink()


def _short(key: object) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()
