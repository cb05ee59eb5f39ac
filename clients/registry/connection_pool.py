"""Connections of one transfer: another thread can break those in use, and idle ones serve the next request."""

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


class Cancelled(Exception):
    """Another thread cancelled the transfer."""


class _Idle(NamedTuple):
    route: Hashable
    connection: http.client.HTTPConnection
    since: float


class ConnectionPool:
    """Sockets of one transfer; `cancel` breaks those in use and keeps later ones from opening."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._idle: list[_Idle] = []
        self._broken = False
        weakref.finalize(self, _close, self._idle)

    def cancel(self) -> None:
        """End everything under way with Cancelled; callable from another thread."""
        with self._lock:
            self._broken = True
            for sock in self._sockets:
                with contextlib.suppress(OSError):  # it was not connected any more
                    sock.shutdown(socket.SHUT_RDWR)  # wakes a send that blocks; close() would not
            _close(self._idle)

    def check(self) -> None:
        """Raise Cancelled after `cancel`."""
        if self._broken:
            raise Cancelled

    def watch(self, sock: socket.socket) -> None:
        """Have `cancel` break this socket from now on."""
        with self._lock:
            self._sockets.add(sock)
        self.check()

    def forget(self, sock: socket.socket | None) -> None:
        """Forget a socket that is no longer used."""
        with self._lock:
            if sock is not None:
                self._sockets.discard(sock)

    def keep(self, route: Hashable, connection: http.client.HTTPConnection) -> None:
        """Keep a connection that has read its whole answer for another request on this route."""
        with self._lock:
            self._idle.append(_Idle(route, connection, time.monotonic()))
            if self._broken:
                _close(self._idle)

    def spare(self, route: Hashable) -> http.client.HTTPConnection | None:
        """Return a kept connection of this route that the peer has not closed; it belongs to the caller."""
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
