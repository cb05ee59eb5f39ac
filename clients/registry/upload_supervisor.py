"""Has blobs uploaded by a courier process, watches it, and stops it when asked to."""

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
from clients.registry.connection_pool import Breaker
from clients.registry.content import Piece, length, packed, read
from clients.registry.transport import Payload
from clients.registry.upload_journal import UploadJournal
from clients.system.environment import inherited
from domain.errors import CredentialsRejected, PermanentError, ProverError, Unavailable
from domain.ports import Login

_STALL_SECONDS = 180.0  # the courier notices a dead connection earlier, and makes another one
_COMMIT_SECONDS = 660.0  # a registry may read a whole blob again before it accepts its digest
_LOOK_SECONDS = 0.2
_END_SECONDS = 3.0
_SMALL = 1 << 20  # bytes; a blob that is in memory and no larger is not worth a process
_TOP = Path(__file__).resolve().parents[2]
_ERRORS: dict[str, type[ProverError]] = {
    error.__name__: error for error in (CredentialsRejected, PermanentError, Unavailable)
}


class Parcel(NamedTuple):
    """One blob to upload."""

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
    lock: int  # descriptor; the courier holds it as long as it lives


class Listener(Protocol):
    """Hears how a delivery goes on."""

    def moved(self, digest: str, done: int, *, resumed: bool) -> None:
        """The registry has so many bytes of this blob; `resumed`: without any having been sent now."""
        ...

    def troubled(self, digest: str, trouble: str) -> None:
        """Another try is made."""
        ...


def deliver(
    address: Address, parcels: Sequence[Parcel], registry: Registry, breaker: Breaker, listener: Listener
) -> None:
    """All blobs are in the registry afterwards; CredentialsRejected, PermanentError, Unavailable, Aborted.

    Ending early stops the courier and leaves uploads that the next delivery resumes; a courier whose registry hangs is
    left to end its bodies when the registry answers again. `registry` is used for what is small.
    """
    small = [parcel for parcel in parcels if _is_small(parcel)]
    large = [parcel for parcel in parcels if not _is_small(parcel)]
    if large:
        _run_courier(address, large, breaker, listener)
    for parcel in small:
        send(registry, _Small(parcel, listener), address.journal)
        listener.moved(parcel.digest, length(parcel.pieces), resumed=False)


def _is_small(parcel: Parcel) -> bool:
    return length(parcel.pieces) <= _SMALL and all(piece.data for piece in parcel.pieces)


class _Small:
    """A blob that is sent as one block."""

    def __init__(self, parcel: Parcel, listener: Listener) -> None:
        self.digest, self.title, self.source = parcel.digest, parcel.title, parcel.source
        self.size = length(parcel.pieces)
        self._parcel = parcel
        self._listener = listener

    def payload(self, offset: int) -> Payload:
        return Payload(lambda: read(self._parcel.pieces, offset), self.size - offset)

    def complete(self) -> bool:
        return True

    def at(self, offset: int) -> None:
        self._listener.moved(self.digest, offset, resumed=True)

    def wait(self, error: Unavailable, troubles: int) -> None:
        self._listener.troubled(self.digest, error.diagnosis.what)
        if troubles > 1:  # the workflow tries again, and knows for how long
            raise error


def _run_courier(address: Address, parcels: Sequence[Parcel], breaker: Breaker, listener: Listener) -> None:
    # The order goes by standard input: what it holds must not be seen in an argument list or an environment.
    descriptors = {piece.fd for parcel in parcels for piece in parcel.pieces if piece.fd >= 0}
    courier = subprocess.Popen(
        [sys.executable, "-P", "-m", "clients.registry.upload_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**inherited(os.environ), "PYTHONPATH": str(_TOP)},
        pass_fds=(address.lock, *descriptors),
        start_new_session=True,
    )
    assert courier.stdin is not None  # noqa: S101 - both are pipes, for the type checker
    assert courier.stdout is not None  # noqa: S101
    try:
        courier.stdin.write(json.dumps(_order(address, parcels)).encode() + b"\n")
        courier.stdin.flush()
        _watch(address, {parcel.digest: length(parcel.pieces) for parcel in parcels}, courier.stdout, breaker, listener)
    finally:
        _stop(courier)


def _order(address: Address, parcels: Sequence[Parcel]) -> dict[str, Any]:
    login = address.login
    return {
        "host": address.host,
        "repository": address.repository,
        "insecure": address.insecure,
        "login": {"user": login.user, "password": login.reveal()} if login else None,
        "journal": str(address.journal.path),
        "blobs": [
            {
                "digest": parcel.digest,
                "title": parcel.title,
                "size": length(parcel.pieces),
                "source": parcel.source,
                "pieces": packed(parcel.pieces),
            }
            for parcel in parcels
        ],
    }


def _watch(address: Address, sizes: dict[str, int], output: IO[bytes], breaker: Breaker, listener: Listener) -> None:
    last = time.monotonic()
    committing: set[str] = set()
    while True:
        breaker.check()
        if not select.select([output], [], [], _LOOK_SECONDS)[0]:
            patience = _COMMIT_SECONDS if committing else _STALL_SECONDS
            if time.monotonic() - last > patience:
                raise _lost(address, f"it takes no bytes for {patience:.0f} s")
            continue
        line = output.readline()
        if not line:
            raise _lost(address, "the courier process ended without a word")
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


def _stop(courier: "subprocess.Popen[bytes]") -> None:
    try:
        courier.communicate(b"stop\n", timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        # It waits for a registry that hangs, to end its body there; it holds the lock until then.
        threading.Thread(target=courier.communicate, name="courier", daemon=True).start()


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
