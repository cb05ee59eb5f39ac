"""Uploads blobs in a process of its own, which ends an upload properly even when the worker is killed.

Registries of the distribution project (2.8, measured) cannot cancel an upload whose connection broke: its offset is
no longer the one they signed. So nothing here ever breaks a body: a stop ends it well-formed, and then the upload is
cancelled; with the worker gone the blob under way is brought to its end. The caller's lock is held until then.
"""

import contextlib
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clients.image_state import UploadJournal
from clients.registry import Blob, Registry
from clients.registry_connection import Aborted, Breaker, Payload
from clients.registry_content import ContentChanged, Piece, read, unpacked
from domain.errors import ProverError, Unavailable

_PATIENCE_SECONDS = 600.0  # for a registry that hangs; after that the upload is left to its own housekeeping
_TELL_SECONDS = 0.2
_PIPE = 1 << 16


class _Login:
    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self._password = password

    def reveal(self) -> str:
        return self._password


class _Caller:
    """The worker at the other end of standard input and output, as long as it lives."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.gone = threading.Event()
        self._told = 0.0

    def order(self) -> dict[str, Any]:
        """The first line, read unbuffered: a thread is about to read what follows."""
        line = b""
        while b"\n" not in line and (more := os.read(0, _PIPE)):
            line += more
        found: dict[str, Any] = json.loads(line)
        return found

    def listen(self) -> None:
        """Until the caller says stop or is gone."""
        (self.stopped if os.read(0, _PIPE) else self.gone).set()

    def tell(self, news: dict[str, Any], *, always: bool = True) -> None:
        """One line of JSON; progress at most five times a second."""
        if not always and time.monotonic() - self._told < _TELL_SECONDS:
            return
        self._told = time.monotonic()
        with contextlib.suppress(OSError):  # the caller is gone
            sys.stdout.write(json.dumps(news) + "\n")
            sys.stdout.flush()


class _Content:
    """One blob's bytes, ended early and well-formed on a stop or when they are not what was announced."""

    def __init__(self, caller: _Caller, digest: str, pieces: list[Piece]) -> None:
        self._caller = caller
        self._digest = digest
        self._pieces = pieces
        self._trouble: Exception | None = None

    def chunks(self) -> Iterator[bytes]:
        self._trouble = None
        running = hashlib.sha256()
        try:
            for chunk in read(self._pieces):
                if self._caller.stopped.is_set():
                    self._trouble = Aborted()
                    return
                running.update(chunk)
                yield chunk
        except ContentChanged:
            self._trouble = self._changed()
            return
        if f"sha256:{running.hexdigest()}" != self._digest:
            self._trouble = self._changed()

    def check(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _changed(self) -> Unavailable:
        paths = [piece.path for piece in self._pieces if piece.path]
        return Unavailable(
            "a circuit file changed while it was being sent",
            on=", ".join(paths)[:300],
            do="let whatever writes the circuit directory finish",
            code="IMAGE_INPUT",
        )


def main() -> int:
    """The order is the first line of standard input; any further line means stop."""
    caller = _Caller()
    order = caller.order()
    threading.Thread(target=caller.listen, daemon=True).start()
    login = _Login(**order["login"]) if order["login"] else None
    registry = Registry(
        order["host"],
        order["repository"],
        login,
        breaker=Breaker(),
        insecure=order["insecure"],
        patience=_PATIENCE_SECONDS,
    )
    journal = UploadJournal(Path(order["journal"]))
    try:
        for item in order["blobs"]:
            if caller.gone.is_set() or caller.stopped.is_set():
                break
            registry.upload(_blob(caller, item), journal)
    except ProverError as error:
        delay = error.delay if isinstance(error, Unavailable) else None
        caller.tell({"error": type(error).__name__, "diagnosis": error.diagnosis.model_dump(), "delay": delay})
        return 1
    except Aborted:
        return 1
    caller.tell({"done": True})
    return 0


def _blob(caller: _Caller, item: dict[str, Any]) -> Blob:
    content = _Content(caller, item["digest"], unpacked(item["pieces"]))

    def progress(sent: int) -> None:
        caller.tell({"title": item["title"], "sent": sent, "size": item["size"]}, always=sent == item["size"])

    # Chunked, for only such a body can be ended before its announced length.
    return Blob(item["digest"], Payload(content.chunks, None, progress), item["title"], content.check)


if __name__ == "__main__":
    sys.exit(main())
