"""HTTP requests to a registry, on kept connections that another thread can cancel.

A transfer of hours must end at once when it is cancelled, even while the peer does not read.
"""

import base64
import http.client
import ipaddress
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from clients.registry import tls
from clients.registry.connection_pool import ConnectionPool
from clients.registry.content import Span
from clients.system.tcp import is_loopback

_CONNECT_SECONDS = 10.0
_STALL_SECONDS = 60.0  # nothing read or written for this long: the peer is gone
_ANSWER_SECONDS = 600.0  # after a body: a registry may have tens of GB to write to its disk before it answers
_SAFE = {"GET", "HEAD"}  # what may be asked again without a thought
_MAX_BODY = 1 << 20  # no answer that we read is larger; what is longer is cut


@dataclass(frozen=True)
class Response:
    """Status, headers and at most 1 MiB of body."""

    status: int
    headers: Mapping[str, str] | http.client.HTTPMessage
    body: bytes = b""


@dataclass(frozen=True)
class Payload:
    """A body that can be produced again; `size` None means that it is sent in chunks."""

    chunks: Callable[[], Iterable[bytes | Span]]
    size: int | None
    progress: Callable[[int], None] = field(default=lambda _: None)


class _Request(NamedTuple):
    method: str
    target: str
    headers: Mapping[str, str]
    payload: Payload | None


@dataclass(frozen=True)
class Transport:
    """How to reach one host: `verify` is off for registries that the Docker Engine lists as insecure."""

    scheme: str
    netloc: str
    verify: bool = True

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        payload: Payload | None,
        connections: ConnectionPool,
        seconds: float = _STALL_SECONDS,
    ) -> Response:
        """Send one request; OSError or http.client.HTTPException when it fails."""
        connections.check()
        request = _Request(method, target, headers, payload)
        used = connections.spare(self)
        if used is not None:
            try:
                return self._ask(used, request, connections, seconds)
            except (ConnectionResetError, BrokenPipeError):
                if method not in _SAFE:
                    raise  # it may have been done
        return self._ask(self._connection(), request, connections, seconds)

    def _ask(
        self, connection: http.client.HTTPConnection, request: _Request, connections: ConnectionPool, seconds: float
    ) -> Response:
        sock, kept = None, False
        try:
            if connection.sock is None:
                connection.timeout = min(_CONNECT_SECONDS, seconds)
                connection.connect()
            sock = connection.sock
            sock.settimeout(seconds)
            connections.watch(sock)
            answer = _exchange(connection, request, connections)
            kept = connection.sock is not None
        except (OSError, http.client.HTTPException):
            connections.check()  # a broken socket is our own doing then
            raise
        else:
            return answer
        finally:
            connections.forget(sock)
            if kept:
                connections.keep(self, connection)
            else:
                connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        proxy = urllib.request.getproxies_environment().get(self.scheme, "")
        host = urlsplit(f"//{self.netloc}").hostname or ""
        if proxy and not urllib.request.proxy_bypass(host) and not is_loopback(host):
            return self._through(proxy)
        return self._to(self.netloc)

    def _to(self, netloc: str) -> http.client.HTTPConnection:
        if self.scheme == "http":
            return http.client.HTTPConnection(netloc)
        return http.client.HTTPSConnection(netloc, context=tls.context(self.netloc, verify=self.verify))

    def _through(self, proxy: str) -> http.client.HTTPConnection:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        headers = {}
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        connection = self._to(f"{parts.hostname}:{parts.port or 3128}")
        connection.set_tunnel(self.netloc if ":" in self.netloc else f"{self.netloc}:{self._port}", headers=headers)
        return connection

    @property
    def _port(self) -> int:
        return 443 if self.scheme == "https" else 80


def insecure(netloc: str, ranges: Sequence[str]) -> bool:
    """Whether the Docker Engine lists this registry as insecure, by name or address range; loopback always is."""
    host = urlsplit(f"//{netloc}").hostname or ""
    if is_loopback(host) or netloc in ranges:
        return True
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    networks = [ipaddress.ip_network(text, strict=False) for text in ranges if "/" in text]
    return any(ipaddress.ip_address(address.split("%")[0]) in network for address in addresses for network in networks)


def _exchange(connection: http.client.HTTPConnection, request: _Request, connections: ConnectionPool) -> Response:
    """Send and read on one connection, and close it unless it can serve another request."""
    whole = True
    connection.putrequest(request.method, request.target, skip_accept_encoding=True)
    for name, value in {"User-Agent": "proverctl", **request.headers}.items():
        connection.putheader(name, value)
    if request.payload is None:
        if request.method in {"POST", "PUT", "PATCH"}:
            connection.putheader("Content-Length", "0")
        connection.endheaders()
    else:
        try:
            _send(connection, request.payload, connections)
        except (BrokenPipeError, ConnectionResetError):
            connections.check()  # else the peer refused early: its answer says why
            whole = False
        connection.sock.settimeout(max(_ANSWER_SECONDS, connection.sock.gettimeout() or 0))
    with connection.getresponse() as response:
        answer = Response(response.status, response.headers, response.read(_MAX_BODY))
        whole = whole and response.isclosed()
    if not whole:
        connection.close()
    return answer


def _send(connection: http.client.HTTPConnection, payload: Payload, connections: ConnectionPool) -> None:
    if payload.size is None:
        connection.putheader("Transfer-Encoding", "chunked")
    else:
        connection.putheader("Content-Length", str(payload.size))
    connection.endheaders()
    sent = 0
    for chunk in payload.chunks():
        connections.check()
        length = chunk.size if isinstance(chunk, Span) else len(chunk)
        if payload.size is None:
            connection.send(b"%x\r\n" % length)
        if isinstance(chunk, Span):
            _send_span(connection.sock, chunk)
        else:
            connection.send(chunk)
        if payload.size is None:
            connection.send(b"\r\n")
        sent += length
        payload.progress(sent)
    if payload.size is None:
        connection.send(b"0\r\n\r\n")


def _send_span(sock: socket.socket, span: Span) -> None:
    """By the kernel alone where nothing is encrypted; what the file lacks is made up, so that the body stays whole."""
    if isinstance(sock, ssl.SSLSocket):
        found = os.pread(span.fd, span.size, span.offset)
        sock.sendall(found)
        done = len(found)
    else:
        with open(span.fd, "rb", buffering=0, closefd=False) as file:
            done = sock.sendfile(file, span.offset, span.size)
    if done < span.size:
        sock.sendall(bytes(span.size - done))
