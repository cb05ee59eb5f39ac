"""A TCP forwarder to the world's API server that can be cut, made silent, and mended."""

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


class Wire:
    """`kubeconfig` leads through it; `cut` refuses new connections, `silent` swallows all that is sent."""

    def __init__(self, world: dict[str, str], folder: Path) -> None:
        content = yaml.safe_load(Path(world["KUBECONFIG"]).read_text())
        settings = content["clusters"][0]["cluster"]
        peer = urlsplit(settings["server"])
        self._peer = (str(peer.hostname), int(peer.port or 443))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.cut = False
        self.silent = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        settings |= {"server": f"https://127.0.0.1:{self._listener.getsockname()[1]}", "tls-server-name": self._peer[0]}
        self.kubeconfig = str(folder / "wire.kubeconfig")
        Path(self.kubeconfig).write_text(yaml.safe_dump(content))
        self._start(self._accept)

    def break_all(self) -> None:
        """End every connection there is."""
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Leave nothing behind."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self.break_all()
        for thread in self._threads:
            thread.join(5)
        for end in (self._listener, *self._open):
            end.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._open.append(near)
                if self.cut:
                    near.shutdown(socket.SHUT_RDWR)
                    continue
                far = socket.create_connection(self._peer)
                self._open.append(far)
                self._start(self._copy, near, far)
                self._start(self._copy, far, near)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        silent = False
        with contextlib.suppress(OSError):
            while received := source.recv(65536):
                silent = silent or self.silent  # what lost some bytes is never mended
                if not silent:
                    target.sendall(received)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
