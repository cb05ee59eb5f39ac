"""Counts what clients send to a registry, as a TCP proxy before it, and may act in the middle of it."""

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_CHUNK = 1 << 18


class Counter:
    """Listens on loopback; `host` is to be used in place of the registry's own address."""

    def __init__(self, target: str) -> None:
        """`target` is HOST:PORT."""
        address, _, port = target.partition(":")
        self._target = (address, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._sent = 0
        self._due: tuple[int, Callable[[], None]] | None = None

    def __enter__(self) -> Self:
        """Serve."""
        threading.Thread(target=self._serve, name="counter", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Accept no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def take(self) -> int:
        """Bytes from clients since the last call: all of those whose requests were answered."""
        with self._lock:
            taken, self._sent = self._sent, 0
        return taken

    def once_at(self, size: int, act: Callable[[], None]) -> None:
        """Call `act` when that many bytes have arrived, with their sender waiting meanwhile."""
        with self._lock:
            self._due = (size, act)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        # When the registry is away the client sees its connection closed, as it would without us.
        with client, contextlib.suppress(OSError), socket.create_connection(self._target) as server:
            answers = threading.Thread(target=_pump, args=(server, client, lambda _: None), daemon=True)
            answers.start()
            _pump(client, server, self._count)
            answers.join()

    def _count(self, size: int) -> None:
        act = None
        with self._lock:
            self._sent += size
            if self._due and self._sent >= self._due[0]:
                act, self._due = self._due[1], None
        if act:
            act()


def _pump(source: socket.socket, target: socket.socket, count: Callable[[int], None]) -> None:
    """Pass everything on, then say that there is no more; what cannot be delivered was sent nevertheless."""
    buffer = memoryview(bytearray(_CHUNK))
    delivers = True
    with contextlib.suppress(OSError):
        while size := source.recv_into(buffer):
            count(size)
            if delivers:
                delivers = _delivered(target, buffer[:size])
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _delivered(target: socket.socket, content: memoryview) -> bool:
    try:
        target.sendall(content)
    except OSError:
        return False
    return True
