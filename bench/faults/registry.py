"""A way to the anonymous registry that is bad for a while, for each image name anew."""

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sandbox.settings import Settings

_HOP = ("connection", "transfer-encoding", "keep-alive")
_MANNERS = ("busy", "reset", "slow")


def image(address: str, manner: str, seconds: int, name: str) -> str:
    """Return a name of the pause image whose first request begins `seconds` of 503, of resets, or of waiting."""
    assert manner in _MANNERS
    return f"{address}/{manner}-{seconds}-{name}:1"


@contextlib.contextmanager
def bad_registry(settings: Settings) -> Iterator[str]:
    """Serve it where nodes reach it; gives its address. The nodes learn to speak plain HTTP to it."""
    server = _Server((settings.host, 0), _Handler)
    server.upstream = ("127.0.0.1", settings.ports.anonymous_registry)
    address = f"{settings.host}:{server.server_port}"
    known = [_teach(settings.node_state(number), address) for number in settings.node_numbers]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        for hosts in known:
            hosts.unlink(missing_ok=True)
            hosts.parent.rmdir()


def _teach(node: Path, address: str) -> Path:
    """Write what the node's containerd reads at each pull."""
    hosts = node / "certs.d" / address / "hosts.toml"
    hosts.parent.mkdir(parents=True, exist_ok=True)
    hosts.write_text(f'server = "http://{address}"\n[host."http://{address}"]\ncapabilities = ["pull", "resolve"]\n')
    return hosts


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    upstream = ("", 0)

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._lock = threading.Lock()
        self._first: dict[str, float] = {}

    def bad_for(self, name: str, seconds: float) -> float:
        """Seconds that are left of its bad time."""
        now = time.monotonic()
        with self._lock:
            return self._first.setdefault(name, now) + seconds - now


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        name, _, rest = self.path.removeprefix("/v2/").partition("/")
        manner, seconds, *_ = [*name.split("-"), "0"]
        left = self.server.bad_for(name, float(seconds)) if manner in _MANNERS else 0
        if left > 0 and manner == "busy":
            self._answer(503, {}, b'{"errors":[{"code":"UNAVAILABLE","message":"try again later"}]}')
        elif left > 0 and manner == "reset":
            self.close_connection = True  # without a word
        else:
            time.sleep(max(left, 0))
            self._forward(f"/v2/pause/{rest}")

    do_HEAD = do_GET  # noqa: N815 - the name that the base class asks for

    def _forward(self, path: str) -> None:
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=30)
        try:
            connection.request(self.command, path, headers={"Accept": self.headers.get("Accept", "*/*")})
            answer = connection.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        kept = {key: value for key, value in headers.items() if key.lower() not in _HOP}
        for key, value in ({"Content-Length": str(len(body))} | kept).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the figures are the output."""
