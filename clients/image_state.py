"""What the image pipeline keeps on this host: one lock per set of inputs, known digests, and uploads under way."""

import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.2
_KEPT = 1000  # digests; one circuit has about ten files


class UploadJournal:
    """Uploads that were begun and not seen to end, in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def opened(self, location: str) -> None:
        """An upload has begun at this URL."""
        _write(self.path, json.dumps([*self.open_ones(), location]))

    def closed(self, location: str) -> None:
        """That upload is over."""
        left = [other for other in self.open_ones() if other != location]
        if left:
            _write(self.path, json.dumps(left))
        else:
            self.path.unlink(missing_ok=True)

    def open_ones(self) -> list[str]:
        """URLs of the uploads that are not over."""
        found = _parsed(self.path)
        return [str(location) for location in found] if isinstance(found, list) else []


class ImageState:
    """Files under `folder` for one set of inputs, told apart by `key`."""

    def __init__(self, folder: Path, key: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.folder = folder
        self._lock = folder / f"{name}.lock"
        self.journal = UploadJournal(folder / f"{name}.uploads")
        self._digests = folder / "digests.json"

    @contextlib.contextmanager
    def locked(self, waiting: Callable[[], None]) -> Iterator[int]:
        """Hold the lock, as a descriptor that may be inherited; `waiting` is called until then and may raise."""
        # A killed holder's lock is gone with the last process that has it, so there is nothing to clean up.
        with self._lock.open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    waiting()
                    time.sleep(_POLL_SECONDS)
            yield file.fileno()

    def digest(self, identity: object) -> str | None:
        """The digest known for this identity."""
        return self._known().get(_short(identity))

    def know(self, identity: object, digest: str) -> None:
        """Remember the digest, forgetting the oldest when there are many."""
        known = self._known()
        known.pop(_short(identity), None)
        kept = [*known.items(), (_short(identity), digest)][-_KEPT:]
        _write(self._digests, json.dumps(dict(kept)))

    def _known(self) -> dict[str, str]:
        found = _parsed(self._digests)
        return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None  # a cache: losing it costs a second look


def _short(identity: object) -> str:
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
