"""Ways to the API server that end: a proxy that closes each connection after some seconds, and a restart."""

import contextlib
import json
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.services.supervision import Supervisor
from sandbox.settings import Settings

_CHUNK = 65536


@contextlib.contextmanager
def closing_api(settings: Settings, kubeconfig: str, seconds: float) -> Iterator[str]:
    """Yield a kubeconfig that leads through a proxy which closes each connection, with its watches, after so long."""
    with socket.create_server(("127.0.0.1", 0)) as server, TemporaryDirectory() as home:
        document = json.loads(Path(kubeconfig).read_text())
        document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{server.getsockname()[1]}"
        path = Path(home) / "kubeconfig"
        path.write_text(json.dumps(document))
        upstream = (settings.host, settings.ports.apiserver)
        threading.Thread(target=_accept, args=(server, upstream, seconds), daemon=True).start()
        yield str(path)
        server.shutdown(socket.SHUT_RDWR)  # which ends the wait for the next connection


def restart_api(settings: Settings) -> None:
    """As an upgrade of the control plane does."""
    supervisor = Supervisor(settings)
    supervisor.stop("kube-apiserver")
    supervisor.start("kube-apiserver")
    supervisor.close()


def _accept(server: socket.socket, upstream: tuple[str, int], seconds: float) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_carry, args=(client, upstream, seconds), daemon=True).start()


def _carry(client: socket.socket, upstream: tuple[str, int], seconds: float) -> None:
    end = time.monotonic() + seconds
    with (
        contextlib.suppress(OSError),
        client,
        socket.create_connection(upstream, timeout=5) as far,
        selectors.DefaultSelector() as ready,
    ):
        ready.register(client, selectors.EVENT_READ, far)
        ready.register(far, selectors.EVENT_READ, client)
        while (left := end - time.monotonic()) > 0:
            for key, _ in ready.select(left):
                content = key.fileobj.recv(_CHUNK)  # type: ignore[union-attr]
                if not content:
                    return
                key.data.sendall(content)
