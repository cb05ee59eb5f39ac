"""Uploads blobs in a process of its own, several at once, and ends each body properly even when the worker is killed.

Registries of the distribution project (2.8, measured) lose an upload whose body broke off: its offset is no longer the
one they signed, so it can be neither resumed nor cancelled. So nothing here ever breaks a body: a stop, or the end of
the worker, ends it well-formed, and its location is kept for the next process. The caller's lock is held until then.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from clients.registry.blob_upload import CHANGED, send
from clients.registry.client import Registry
from clients.registry.connection_pool import Cancelled, ConnectionPool
from clients.registry.content import ContentChanged, Piece, Span, spans, unpacked
from clients.registry.transport import Payload
from clients.registry.upload_journal import UploadJournal
from domain.errors import ProverError, Unavailable
from planning.text.sanitize import one_line

_STALL_SECONDS = 60.0  # for a registry that takes no byte; then the connection is given up and another one tried
_END_SECONDS = 120.0  # after a stop, for bodies to end and be answered; then they are broken off
_TELL_SECONDS = _LOOK_SECONDS = 0.2
_AT_ONCE = 8  # layers; those that were sent wait for the registry's disk
_SENDING = 3  # bodies; more would only share the same processors and the same line
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0  # seconds before another try
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
        self.line = threading.Semaphore(_SENDING)
        self.connections = ConnectionPool()
        self._lock = threading.Lock()

    def order(self) -> dict[str, Any]:
        """Read the first line unbuffered, since a thread reads the rest."""
        line = b""
        while b"\n" not in line and (more := os.read(0, _PIPE)):
            line += more
        found: dict[str, Any] = json.loads(line)
        return found

    def listen(self) -> None:
        """Until the caller says stop or is gone; then see that everything ends."""
        os.read(0, _PIPE)
        self.stopped.set()
        time.sleep(_END_SECONDS)
        self.connections.cancel()

    def tell(self, news: dict[str, Any]) -> None:
        """Write one line of JSON."""
        with self._lock, contextlib.suppress(OSError):  # the caller is gone
            sys.stdout.write(json.dumps(news) + "\n")
            sys.stdout.flush()


class _StreamedBlob:
    """Blob of the order; its body ends early and well-formed on a stop or when the content changed."""

    def __init__(self, caller: _Caller, item: dict[str, Any]) -> None:
        self.digest: str = item["digest"]
        self.title: str = item["title"]
        self.size: int = item["size"]
        self.source: str = item["source"]
        self._caller = caller
        self._pieces: list[Piece] = unpacked(item["pieces"])
        self._changed = False
        self._told = 0.0
        self._turn = False

    def payload(self, offset: int) -> Payload:
        self._take_turn()
        # Chunked, for only such a body can be ended before its announced length.
        return Payload(lambda: self._chunks(offset), None, lambda sent: self._tell(offset + sent))

    def complete(self) -> bool:
        if self._changed:
            paths = [piece.path for piece in self._pieces if piece.path]
            raise Unavailable(
                "a circuit file changed while it was being sent",
                on=", ".join(paths)[:300],
                do="let whatever writes the circuit directory finish",
                code=CHANGED,
            )
        return not self._caller.stopped.is_set()

    def at(self, offset: int) -> None:
        self._caller.tell({"key": self.digest, "done": offset, "resumed": True})

    def wait(self, error: Unavailable, troubles: int) -> None:
        self.end_turn()
        self._caller.tell({"key": self.digest, "trouble": error.diagnosis.evidence or error.diagnosis.what})
        if self._caller.stopped.wait(min(_FIRST_WAIT * 2**troubles, _LONGEST_WAIT)):
            raise Cancelled

    def stored(self) -> None:
        self._caller.tell({"key": self.digest, "done": self.size, "resumed": True, "stored": True})

    def end_turn(self) -> None:
        if self._turn:
            self._turn = False
            self._caller.line.release()

    def _take_turn(self) -> None:
        while not self._turn:
            self._turn = self._caller.line.acquire(timeout=_LOOK_SECONDS)
            if self._caller.stopped.is_set():
                self.end_turn()
                raise Cancelled

    def _chunks(self, offset: int) -> Iterator[bytes | Span]:
        self._take_turn()
        self._changed = False
        try:
            for chunk in spans(self._pieces, offset):
                if self._caller.stopped.is_set():
                    return
                yield chunk
        except ContentChanged:
            self._changed = True
        finally:
            self.end_turn()  # what follows is the registry's: it may write for long before it answers

    def _tell(self, done: int) -> None:
        if done == self.size or time.monotonic() - self._told >= _TELL_SECONDS:
            self._told = time.monotonic()
            self._caller.tell({"key": self.digest, "done": done, "resumed": False})


def main() -> int:
    """Run the order in the first line of standard input; any further line, or its end, means stop."""
    caller = _Caller()
    order = caller.order()
    threading.Thread(target=caller.listen, daemon=True).start()
    blobs = sorted((_StreamedBlob(caller, item) for item in order["blobs"]), key=lambda blob: -blob.size)
    journal = UploadJournal(Path(order["journal"]))
    registry = Registry(
        order["host"],
        order["repository"],
        _Login(**order["login"]) if order["login"] else None,
        connections=caller.connections,
        insecure=order["insecure"],
        answer_seconds=_STALL_SECONDS,
    )
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ends = [pool.submit(_send, caller, registry, blob, journal) for blob in blobs]
    errors = [error for end in ends if (error := end.exception()) and not isinstance(error, Cancelled)]
    if errors:
        error = _told(errors[0], registry)
        delay = error.delay if isinstance(error, Unavailable) else None
        caller.tell({"error": type(error).__name__, "diagnosis": error.diagnosis.model_dump(), "delay": delay})
    elif all(end.exception() is None and end.result() for end in ends):
        caller.tell({"done": True})
        return 0
    return 1


def _told(error: BaseException, registry: Registry) -> ProverError:
    if isinstance(error, ProverError):
        return error
    return Unavailable(
        "the upload of the image failed on this worker",
        on=f"{registry.host}/{registry.repository}",
        evidence=one_line(f"{type(error).__name__}: {error}", 300),
        do="see whether the disk of PROVER_STATE_DIR is full; else it is a fault of ours",
        code="UPLOAD",
    )


def _send(caller: _Caller, registry: Registry, blob: _StreamedBlob, journal: UploadJournal) -> bool:
    if caller.stopped.is_set():
        return False
    try:
        sent = send(registry, blob, journal)
    except BaseException:
        caller.stopped.set()  # the others end well-formed, and are resumed later
        raise
    finally:
        blob.end_turn()
    if sent:
        blob.stored()
    return sent


if __name__ == "__main__":
    sys.exit(main())
