"""An HTTP proxy before a registry that refuses, cuts, holds and slows down chosen requests, and counts all others."""

import base64
import contextlib
import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase

_PIECE = 1 << 14
_TLS_HELLO = b"\x16"
_HOP = {"connection", "transfer-encoding", "keep-alive"}
_RELEASE_SECONDS = 60.0  # of a hang that no test ends
_BODIES = re.compile(r"(PATCH|PUT) \S*/blobs/uploads/")


@dataclass
class Fault:
    """What happens to the requests whose `METHOD path` the pattern is found in; the others go through.

    With `after`, so many bytes of the body are passed on first. `status` answers in the registry's place, `reset`
    breaks the connection to both sides, `hang` reads no more until the proxy is healed, `lost` lets the registry do
    all of it and then resets, `short` cuts the registry's answer to so many bytes of its body, `rate` slows down to
    so many bytes a second.
    """

    pattern: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset: bool = False
    hang: bool = False
    lost: bool = False
    short: int | None = None
    rate: float = 0.0
    after: int = 0  # bytes of the body
    skip: int = 0  # matching requests that go through before
    times: int = 1 << 30  # matching requests that it befalls
    hits: int = 0


@dataclass
class Seen:
    """One request: what of its body reached the registry, and what was answered (0: nothing)."""

    line: str
    user: str = ""  # of Basic credentials
    sent: int = 0  # bytes
    status: int = 0
    struck: bool = False  # in the middle of its body


class FaultProxy:
    """Faults may be added and healed at any time, also while requests are under way."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.host = ""
        self.seen: list[Seen] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._healed = threading.Event()

    def add(self, fault: Fault) -> Fault:
        """From the next request on; the first that matches counts."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """No faults any more; what hangs ends."""
        with self._lock:
            self._faults.clear()
        self._healed.set()
        self._healed = threading.Event()

    def forget(self) -> None:
        """Count anew."""
        self.seen = []

    def sent(self) -> int:
        """Bytes of blobs that were passed on."""
        return sum(one.sent for one in self.seen if _BODIES.search(one.line))

    def lines(self, pattern: str = "") -> list[str]:
        """Requests as `METHOD path`."""
        return [one.line for one in self.seen if re.search(pattern, one.line)]

    def fault(self, line: str) -> Fault | None:
        """What befalls this request."""
        with self._lock:
            for fault in self._faults:
                if re.search(fault.pattern, line) is None:
                    continue
                fault.hits += 1
                if fault.skip < fault.hits <= fault.skip + fault.times:
                    return fault
        return None

    def hang(self) -> None:
        """Until healed."""
        self._healed.wait(_RELEASE_SECONDS)


class _Cut(Exception):
    """This connection ends without an answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy

    def handle(self) -> None:
        # Who tries TLS first is told at once that there is none.
        with contextlib.suppress(OSError):
            if self.connection.recv(1, socket.MSG_PEEK) == _TLS_HELLO:
                return
            super().handle()

    def _serve(self) -> None:
        seen = Seen(f"{self.command} {self.path}", _user(self.headers.get("Authorization", "")))
        self.proxy.seen.append(seen)
        fault = self.proxy.fault(seen.line)
        try:
            if fault and fault.status and not fault.after:
                self._refuse(fault, seen)
            else:
                self._forward(fault, seen)
        except (_Cut, OSError, http.client.HTTPException):
            self.close_connection = True
            with contextlib.suppress(OSError):
                _reset(self.connection)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server looks for these

    def _refuse(self, fault: Fault, seen: Seen) -> None:
        seen.status = fault.status
        self.close_connection = True
        self.send_response(fault.status)
        for name, value in {"Content-Length": str(len(fault.body)), "Connection": "close", **fault.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(fault.body if self.command != "HEAD" else b"")
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        # Closing with bytes unread would reset the connection and lose the answer.
        self.connection.settimeout(1)
        while self.connection.recv(_PIECE):
            continue

    def _forward(self, fault: Fault | None, seen: Seen) -> None:
        name, _, port = self.proxy.backend.partition(":")
        with contextlib.closing(http.client.HTTPConnection(name, int(port), timeout=30)) as registry:
            registry.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for header, value in self.headers.items():
                if header.lower() not in _HOP - {"transfer-encoding"}:
                    registry.putheader(header, value)
            registry.endheaders()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has answered already
                self._pass_body(registry, fault, seen)
            if fault and seen.sent < fault.after and not seen.struck:
                fault = None  # the body ended before it
            if fault and fault.status:
                self._refuse(fault, seen)
                return
            if fault and (fault.reset or fault.hang):
                self._end(registry, fault)
            with registry.getresponse() as answer:
                if fault and fault.lost:
                    answer.read()
                    raise _Cut
                self._pass_answer(answer, fault, seen)

    def _pass_body(self, registry: http.client.HTTPConnection, fault: Fault | None, seen: Seen) -> None:
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        began = time.monotonic()
        left = int(self.headers.get("Content-Length", "0"))
        pieces = _chunks(self.rfile) if chunked else _whole(self.rfile, left)
        for piece in pieces:
            if fault and seen.sent + len(piece) > fault.after and (fault.status or fault.reset or fault.hang):
                seen.struck = True
                return
            registry.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            seen.sent += len(piece)
            if fault and fault.rate:
                time.sleep(max(0.0, seen.sent / fault.rate - (time.monotonic() - began)))
        if chunked:
            registry.send(b"0\r\n\r\n")

    def _end(self, registry: http.client.HTTPConnection, fault: Fault) -> None:
        if fault.hang:
            self.proxy.hang()
        _reset(registry.sock)
        raise _Cut

    def _pass_answer(self, answer: http.client.HTTPResponse, fault: Fault | None, seen: Seen) -> None:
        body = b"" if self.command == "HEAD" else answer.read()
        seen.status = answer.status
        self.send_response_only(answer.status)
        for header, value in answer.getheaders():
            if header.lower() not in _HOP | {"content-length"}:
                self.send_header(header, value)
        length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body if fault is None or fault.short is None else body[: fault.short])
        self.wfile.flush()
        if fault and fault.short is not None:
            self.connection.shutdown(socket.SHUT_WR)
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Be quiet."""


def _user(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    return base64.b64decode(rest).decode().partition(":")[0] if scheme == "Basic" else ""


def _whole(source: BufferedIOBase, left: int) -> Iterator[bytes]:
    while left and (piece := source.read(min(_PIECE, left))):
        left -= len(piece)
        yield piece
    if left:
        raise _Cut


def _chunks(source: BufferedIOBase) -> Iterator[bytes]:
    while True:
        head = source.readline()
        if not head:
            raise _Cut
        size = int(head, 16)
        yield from _whole(source, size)
        source.readline()
        if size == 0:
            return


def _reset(sock: socket.socket) -> None:
    """Have the other side see a reset, not an end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A broken connection is what a test asked for."""


@contextmanager
def fault_proxy(backend: str) -> Iterator[FaultProxy]:
    """A proxy on loopback before `backend`, a host with a port."""
    proxy = FaultProxy(backend)
    with _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy})) as server:
        proxy.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.heal()
            server.shutdown()
            thread.join()
