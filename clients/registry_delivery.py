"""Has blobs uploaded by a courier process, watches it, and stops it when asked to."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from clients.backend_environment import inherited
from clients.registry_connection import Breaker
from clients.registry_content import Piece, length, packed
from domain.errors import CredentialsRejected, PermanentError, ProverError, Unavailable
from domain.ports import Login

_STALL_SECONDS = 60.0
_COMMIT_SECONDS = 600.0  # a registry may read a whole blob again before it accepts its digest
_LOOK_SECONDS = 0.2
_END_SECONDS = 3.0
_TOP = Path(__file__).resolve().parents[1]
_ERRORS: dict[str, type[ProverError]] = {
    error.__name__: error for error in (CredentialsRejected, PermanentError, Unavailable)
}


class Parcel(NamedTuple):
    """One blob to upload."""

    digest: str
    title: str
    pieces: Sequence[Piece]


class Address(NamedTuple):
    """Where to, as whom, and what outlives a killed worker: the journal of uploads and the lock."""

    host: str
    repository: str
    insecure: bool
    login: Login | None
    journal: Path
    lock: int  # descriptor; the courier holds it as long as it lives


def deliver(
    address: Address, parcels: Sequence[Parcel], breaker: Breaker, progress: Callable[[str, int, int], None]
) -> None:
    """All blobs are in the registry afterwards; CredentialsRejected, PermanentError, Unavailable, Aborted.

    `progress` gets title, bytes sent and bytes in all. Ending early stops the courier; one whose registry hangs is
    left to end its upload when the registry answers again.
    """
    # The order goes by standard input: what it holds must not be seen in an argument list or an environment.
    descriptors = {piece.fd for parcel in parcels for piece in parcel.pieces if piece.fd >= 0}
    courier = subprocess.Popen(
        [sys.executable, "-P", "-m", "clients.registry_courier"],
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
        _watch(address, courier.stdout, breaker, progress)
    finally:
        _stop(courier)


def _order(address: Address, parcels: Sequence[Parcel]) -> dict[str, Any]:
    login = address.login
    return {
        "host": address.host,
        "repository": address.repository,
        "insecure": address.insecure,
        "login": {"user": login.user, "password": login.reveal()} if login else None,
        "journal": str(address.journal),
        "blobs": [
            {
                "digest": parcel.digest,
                "title": parcel.title,
                "size": length(parcel.pieces),
                "pieces": packed(parcel.pieces),
            }
            for parcel in parcels
        ],
    }


def _watch(address: Address, output: IO[bytes], breaker: Breaker, progress: Callable[[str, int, int], None]) -> None:
    last, patience = time.monotonic(), _STALL_SECONDS
    while True:
        breaker.check()
        if not select.select([output], [], [], _LOOK_SECONDS)[0]:
            if time.monotonic() - last > patience:
                raise _lost(address, f"it takes no bytes for {patience:.0f} s")
            continue
        line = output.readline()
        if not line:
            raise _lost(address, "the courier process ended without a word")
        news = json.loads(line)
        last = time.monotonic()
        if "done" in news:
            return
        if "error" in news:
            raise _error(news)
        progress(news["title"], news["sent"], news["size"])
        patience = _COMMIT_SECONDS if news["sent"] == news["size"] else _STALL_SECONDS


def _stop(courier: "subprocess.Popen[bytes]") -> None:
    try:
        courier.communicate(b"stop\n", timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        # It waits for a registry that hangs, to end its upload there; it holds the lock until then.
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
