"""Waiting for a condition, never for a time; and the questions that tell whether a program serves."""

import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from sandbox.errors import WorldError

Probe = Callable[[], str | None]
"""Asks once: None when ready, else why not."""

_INTERVAL = 0.05
_ANSWER_SECONDS = 2  # seconds for one answer


def wait_until(probe: Probe, *, seconds: float, what: str) -> None:
    """Ask until the probe is content; raise WorldError with its last words after `seconds`."""
    deadline = time.monotonic() + seconds
    while reason := probe():
        if time.monotonic() > deadline:
            raise WorldError(f"{what}: not there after {seconds:.0f} s, last answer: {reason}")
        time.sleep(_INTERVAL)


def http_answers(url: str, *, statuses: tuple[int, ...] = (200,), authority: Path | None = None) -> Probe:
    """Return a probe: a GET must end with one of the statuses; `authority` is the CA file for https."""

    def probe() -> str | None:
        context = ssl.create_default_context(cafile=str(authority)) if authority else None
        try:
            with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS, context=context) as answer:  # noqa: S310 - our own addresses
                status = answer.status
        except urllib.error.HTTPError as error:
            with error:
                status = error.code
        except (OSError, http.client.HTTPException) as error:
            return f"{url}: {error}"
        return None if status in statuses else f"{url} answered {status}"

    return probe


def socket_accepts(path: Path) -> Probe:
    """Return a probe: a connection to a unix socket must be accepted."""

    def probe() -> str | None:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_ANSWER_SECONDS)
            try:
                client.connect(str(path))
            except OSError as error:
                return f"{path}: {error}"
        return None

    return probe


def engine_answers(path: Path) -> Probe:
    """Return a probe: a Docker Engine must answer its ping on a unix socket."""

    def probe() -> str | None:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_ANSWER_SECONDS)
            try:
                client.connect(str(path))
                client.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
                head = client.recv(64)
            except OSError as error:
                return f"{path}: {error}"
        return None if b" 200 " in head else f"{path} answered {head!r}"

    return probe
