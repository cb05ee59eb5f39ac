"""What the image pipeline keeps on this host: one lock per set of inputs, uploads under way, and facts.

Facts spare work and may be lost: digests of files by path, inode, size and times; sizes of layers; where blobs are.
"""

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from clients import host_lock

_STALE_SECONDS = 60.0
_KEPT = 2000  # facts; one circuit has about ten files


class UploadJournal:
    """Uploads that were begun and not seen to end, by the digest of their blob, in one file; from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def location(self, digest: str) -> str:
        """Where the upload of this blob goes on; empty: none was begun."""
        return self._read().get(digest, "")

    def keep(self, digest: str, location: str) -> None:
        """It goes on at this URL."""
        with self._lock:
            _write(self.path, json.dumps({**self._read(), digest: location}))

    def forget(self, digest: str) -> None:
        """It is over."""
        with self._lock:
            left = {other: location for other, location in self._read().items() if other != digest}
            if left:
                _write(self.path, json.dumps(left))
            else:
                self.path.unlink(missing_ok=True)

    def digests(self) -> list[str]:
        """Of the blobs whose uploads are not over."""
        return list(self._read())

    def _read(self) -> dict[str, str]:
        return _strings(self.path)


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
        return host_lock.held(self._lock, waiting)

    def known(self, *key: object) -> str | None:
        """What was remembered for this key."""
        return _strings(self._facts).get(_short(key))

    def know(self, *key: object, value: str) -> None:
        """Remember a fact, forgetting the oldest when there are many."""
        name = _short(key)
        facts = _strings(self._facts)
        if facts.get(name) == value:
            return
        facts.pop(name, None)
        _write(self._facts, json.dumps(dict([*facts.items(), (name, value)][-_KEPT:])))

    def forget(self, *key: object) -> None:
        """It may not be true any more."""
        facts = _strings(self._facts)
        if facts.pop(_short(key), None) is not None:
            _write(self._facts, json.dumps(facts))


def _sweep(folder: Path) -> None:
    """Drafts of killed processes; one that is being written is a second old at most."""
    for draft in folder.glob("*.draft"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > _STALE_SECONDS:
                draft.unlink()


def _strings(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}  # a cache: losing it costs a second look
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _short(key: object) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
