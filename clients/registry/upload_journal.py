"""Uploads under way, kept on disk so that the next process resumes or ends them."""

import json
import threading
from pathlib import Path

from clients.system.json_file import strings, write


class UploadJournal:
    """Uploads that were begun and not seen to end, by the digest of their blob, in one file; from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def location(self, digest: str) -> str:
        """Where the upload of this blob goes on; empty: none was begun."""
        return self._read().get(digest, "")

    def keep(self, digest: str, location: str) -> None:
        """Keep the URL at which the upload continues."""
        with self._lock:
            write(self.path, json.dumps({**self._read(), digest: location}))

    def forget(self, digest: str) -> None:
        """Forget an upload that is over."""
        with self._lock:
            left = {other: location for other, location in self._read().items() if other != digest}
            if left:
                write(self.path, json.dumps(left))
            else:
                self.path.unlink(missing_ok=True)

    def digests(self) -> list[str]:
        """Of the blobs whose uploads are not over."""
        return list(self._read())

    def _read(self) -> dict[str, str]:
        return strings(self.path)
