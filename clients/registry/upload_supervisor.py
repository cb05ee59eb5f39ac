"""Starts the upload process, watches it, and stops it when asked to."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from clients.registry.blob_upload import send
from clients.registry.client import Registry
from clients.registry.connection_pool import ConnectionPool
from clients.registry.content import Piece, length, packed, read
from clients.registry.transport import Payload
from clients.registry.upload_journal import UploadJournal
from clients.system.environment import inherited
from domain.errors import CredentialsRejected, PermanentError, ProverError, Unavailable
from domain.ports import Login

_STALL_SECONDS = 180.0  # the upload process notices a dead connection earlier, and makes another one
_COMMIT_SECONDS = 660.0  # a registry may read a whole blob again before it accepts its digest
_LOOK_SECONDS = 0.2
_END_SECONDS = 3.0
_SMALL = 1 << 20  # bytes; a blob that is in memory and no larger is not worth a process
_TOP = Path(__file__).resolve().parents[2]
_ERRORS: dict[str, type[ProverError]] = {
    error.__name__: error for error in (CredentialsRejected, PermanentError, Unavailable)
}


class PendingBlob(NamedTuple):
    """Blob to upload."""

    digest: str
    title: str
    pieces: Sequence[Piece]
    source: str = ""  # another repository of this registry that holds it


class Address(NamedTuple):
    """Where to, as whom, and what outlives a killed worker: the journal of uploads and the lock."""

    host: str
    repository: str
    insecure: bool
    login: Login | None
    journal: UploadJournal
    lock: int  # descriptor; the upload process holds it as long as it lives


class Listener(Protocol):
    """Receives the progress of an upload."""

    def moved(self, digest: str, done: int, *, resumed: bool) -> None:
        """Note how many bytes of a blob the registry has; `resumed`: none of them was sent now."""
        ...

    def troubled(self, digest: str, trouble: str) -> None:
        """Another try is made."""
        ...


def deliver(
    address: Address, blobs: Sequence[PendingBlob], registry: Registry, connections: ConnectionPool, listener: Listener
) -> None:
    """Upload all blobs; CredentialsRejected, PermanentError, Unavailable, Cancelled.

    Ending early stops the upload process and leaves uploads that the next call resumes. An upload process whose
    registry does not answer is left to end its bodies later. `registry` is used for small blobs.
    """
    small = [blob for blob in blobs if _is_small(blob)]
    large = [blob for blob in blobs if not _is_small(blob)]
    if large:
        _run_upload_process(address, large, connections, listener)
    for blob in small:
        send(registry, _Small(blob, listener), address.journal)
        listener.moved(blob.digest, length(blob.pieces), resumed=False)


def _is_small(blob: PendingBlob) -> bool:
    return length(blob.pieces) <= _SMALL and all(piece.data for piece in blob.pieces)


class _Small:
    """A blob that is sent as one block."""

    def __init__(self, blob: PendingBlob, listener: Listener) -> None:
        self.digest, self.title, self.source = blob.digest, blob.title, blob.source
        self.size = length(blob.pieces)
        self._pending = blob
        self._listener = listener

    def payload(self, offset: int) -> Payload:
        return Payload(lambda: read(self._pending.pieces, offset), self.size - offset)

    def complete(self) -> bool:
        return True

    def at(self, offset: int) -> None:
        self._listener.moved(self.digest, offset, resumed=True)

    def wait(self, error: Unavailable, troubles: int) -> None:
        self._listener.troubled(self.digest, error.diagnosis.what)
        if troubles > 1:  # the workflow tries again, and knows for how long
            raise error


def _run_upload_process(
    address: Address, blobs: Sequence[PendingBlob], connections: ConnectionPool, listener: Listener
) -> None:
    # The order goes by standard input: what it holds must not be seen in an argument list or an environment.
    descriptors = {piece.fd for blob in blobs for piece in blob.pieces if piece.fd >= 0}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "clients.registry.upload_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**inherited(os.environ), "PYTHONPATH": str(_TOP)},
        pass_fds=(address.lock, *descriptors),
        start_new_session=True,
    )
    assert process.stdin is not None  # noqa: S101 - both are pipes, for the type checker
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(json.dumps(_order(address, blobs)).encode() + b"\n")
        process.stdin.flush()
        _watch(address, {blob.digest: length(blob.pieces) for blob in blobs}, process.stdout, connections, listener)
    finally:
        _stop(process)


def _order(address: Address, blobs: Sequence[PendingBlob]) -> dict[str, Any]:
    login = address.login
    return {
        "host": address.host,
        "repository": address.repository,
        "insecure": address.insecure,
        "login": {"user": login.user, "password": login.reveal()} if login else None,
        "journal": str(address.journal.path),
        "blobs": [
            {
                "digest": blob.digest,
                "title": blob.title,
                "size": length(blob.pieces),
                "source": blob.source,
                "pieces": packed(blob.pieces),
            }
            for blob in blobs
        ],
    }


def _watch(
    address: Address, sizes: dict[str, int], output: IO[bytes], connections: ConnectionPool, listener: Listener
) -> None:
    last = time.monotonic()
    committing: set[str] = set()
    while True:
        connections.check()
        if not select.select([output], [], [], _LOOK_SECONDS)[0]:
            limit = _COMMIT_SECONDS if committing else _STALL_SECONDS
            if time.monotonic() - last > limit:
                raise _lost(address, f"it takes no bytes for {limit:.0f} s")
            continue
        line = output.readline()
        if not line:
            raise _lost(address, "the upload process ended without a word")
        news = json.loads(line)
        last = time.monotonic()
        if "done" in news and "key" not in news:
            return
        if "error" in news:
            raise _error(news)
        if "trouble" in news:
            listener.troubled(news["key"], news["trouble"])
            continue
        listener.moved(news["key"], news["done"], resumed=news["resumed"])
        at_end = news["done"] == sizes[news["key"]] and not news.get("stored")
        (committing.add if at_end else committing.discard)(news["key"])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.communicate(b"stop\n", timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        # It waits for a registry that hangs, to end its body there; it holds the lock until then.
        threading.Thread(target=process.communicate, name="upload", daemon=True).start()


def _error(news: dict[str, Any]) -> ProverError:
    kind = _ERRORS.get(news["error"], PermanentError)
    said = news["diagnosis"]
    more = {"delay": news["delay"]} if kind is Unavailable else {}
    fields = {name: said[name] for name in ("on", "because", "do", "evidence", "code")}
    return kind(said["what"], **fields, **more)


def _lost(address: Address, because: str) -> Unavailable:
    return Unavailable(
        f"registry {address.host} does not take the image",
        on=f"{address.host}/{address.repository}",
        because=because,
        do=f"check that {address.host} is up and has room",
        code="REGISTRY_DOWN",
    )
