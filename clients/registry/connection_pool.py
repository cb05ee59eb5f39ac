"""Connections of one errand: those in use can be broken by another thread, those at rest serve for the next request."""

import contextlib
import http.client
import select
import socket
import threading
import time
import weakref
from collections.abc import Hashable
from typing import NamedTuple

_IDLE_SECONDS = 4.0  # after which a peer may be about to close it: Node closes after 5 s, all others later


class Aborted(Exception):
    """The transfer was broken off from another thread."""


class _Idle(NamedTuple):
    route: Hashable
    connection: http.client.HTTPConnection
    since: float


class Breaker:
    """Breaks the sockets in use, from another thread, and keeps later ones from opening."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._idle: list[_Idle] = []
        self._broken = False
        weakref.finalize(self, _close, self._idle)

    def trip(self) -> None:
        """Everything under way ends with Aborted."""
        with self._lock:
            self._broken = True
            for sock in self._sockets:
                with contextlib.suppress(OSError):  # it was not connected any more
                    sock.shutdown(socket.SHUT_RDWR)  # wakes a send that blocks; close() would not
            _close(self._idle)

    def check(self) -> None:
        """Raises Aborted once tripped."""
        if self._broken:
            raise Aborted

    def watch(self, sock: socket.socket) -> None:
        """From now on `trip` breaks this socket."""
        with self._lock:
            self._sockets.add(sock)
        self.check()

    def forget(self, sock: socket.socket | None) -> None:
        """The socket is done with."""
        with self._lock:
            if sock is not None:
                self._sockets.discard(sock)

    def keep(self, route: Hashable, connection: http.client.HTTPConnection) -> None:
        """It has had its whole answer, and is open for another request on this route."""
        with self._lock:
            self._idle.append(_Idle(route, connection, time.monotonic()))
            if self._broken:
                _close(self._idle)

    def spare(self, route: Hashable) -> http.client.HTTPConnection | None:
        """One that was kept for this route and that the peer has not closed since; it is the caller's now."""
        with self._lock:
            for found in [idle for idle in reversed(self._idle) if idle.route == route]:
                self._idle.remove(found)
                if _open(found):
                    return found.connection
                found.connection.close()
        return None


def _open(idle: _Idle) -> bool:
    if time.monotonic() - idle.since > _IDLE_SECONDS:
        return False
    poll = select.poll()
    poll.register(idle.connection.sock, select.POLLIN)
    return not poll.poll(0)  # nothing is expected, so what comes is the end


def _close(idle: list[_Idle]) -> None:
    for one in idle:
        one.connection.close()
    idle.clear()
