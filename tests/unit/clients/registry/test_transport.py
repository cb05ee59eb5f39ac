"""Connections to a registry that serve several requests, before a peer that ends them when a test says so."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from clients.registry import connection_pool
from clients.registry.connection_pool import Cancelled, ConnectionPool
from clients.registry.transport import Payload, Transport

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_BEGUN = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
_BROKEN = b""  # closes instead of an answer
_WAIT = 10.0  # seconds


class _Peer:
    """Answers the requests of each connection by its script; closes a connection at the end of that."""

    def __init__(self, listener: socket.socket) -> None:
        self.transport = Transport("http", f"127.0.0.1:{listener.getsockname()[1]}")
        self.scripts: list[list[bytes]] = []
        self.requests: list[list[str]] = []  # of each connection
        self.open: list[threading.Event] = []  # of each connection: set when the other side closed it
        self._listener = listener

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the test is over
            while True:
                connection, _ = self._listener.accept()
                script = self.scripts.pop(0) if self.scripts else [_OK] * 9
                self.requests.append([])
                self.open.append(threading.Event())
                mine = (connection, script, self.requests[-1], self.open[-1])
                threading.Thread(target=_talk, args=mine, daemon=True).start()

    def get(self, connections: ConnectionPool, method: str = "GET", payload: Payload | None = None) -> int:
        return self.transport.send(method, "/v2/", {}, payload, connections, 5).status


def _talk(connection: socket.socket, script: list[bytes], requests: list[str], closed: threading.Event) -> None:
    with connection, connection.makefile("rb") as reader:
        for answer in script:
            line = reader.readline()
            if not line:
                closed.set()
                return
            requests.append(line.decode().split()[0])
            length = 0
            while header := reader.readline().strip():
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            reader.read(length)
            if answer == _BROKEN:
                return
            connection.sendall(answer)


@pytest.fixture
def peer() -> Iterator[_Peer]:
    """One that keeps its connections open, unless a script says otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = _Peer(listener)
        threading.Thread(target=peer.serve, daemon=True).start()
        yield peer
        listener.shutdown(socket.SHUT_RDWR)


def test_one_connection_serves_request_after_request(peer: _Peer) -> None:
    """Also those with a body; it is closed when its errand is over."""
    connections = ConnectionPool()
    assert [
        peer.get(connections),
        peer.get(connections, "POST"),
        peer.get(connections, "PUT", Payload(lambda: [b"abc"], 3)),
    ] == [200] * 3
    assert peer.requests == [["GET", "POST", "PUT"]]
    assert not peer.open[0].is_set()
    del connections
    assert peer.open[0].wait(_WAIT)


def test_errands_share_nothing(peer: _Peer) -> None:
    """What breaks one must not break another."""
    one, two = ConnectionPool(), ConnectionPool()
    assert [peer.get(one), peer.get(two)] == [200, 200]
    assert peer.requests == [["GET"], ["GET"]]


def test_a_connection_that_the_peer_closed_at_rest_is_not_used(peer: _Peer) -> None:
    """Whatever the method: nothing was asked on it."""
    connections = ConnectionPool()
    peer.scripts = [[_OK], [_BEGUN, _LAST], [_OK]]
    assert peer.get(connections) == 200
    _ended(connections)
    assert [peer.get(connections, "POST"), peer.get(connections), peer.get(connections)] == [202, 200, 200]
    assert peer.requests == [["GET"], ["POST", "GET"], ["GET"]]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_meets_the_end_of_a_connection_is_asked_again(peer: _Peer, method: str) -> None:
    """It changes nothing, so once more does no harm; on a new connection the same end is a fault."""
    connections = ConnectionPool()
    peer.scripts = [[_BEGUN, _BROKEN], [_BEGUN], [_BROKEN]]
    assert [peer.get(connections), peer.get(connections, method)] == [202, 202]
    assert peer.requests == [["GET", method], [method]]
    _ended(connections)
    with pytest.raises(ConnectionError):
        peer.get(connections, method)


def test_what_may_have_been_done_is_not_asked_again(peer: _Peer) -> None:
    """Who sent it knows how to find out."""
    connections = ConnectionPool()
    peer.scripts = [[_OK, _BROKEN]]
    assert peer.get(connections) == 200
    with pytest.raises(ConnectionError):
        peer.get(connections, "POST")
    assert peer.requests == [["GET", "POST"]]


def test_a_connection_that_rested_for_long_is_closed(peer: _Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer may be about to close it."""
    connections = ConnectionPool()
    monkeypatch.setattr(connection_pool, "_IDLE_SECONDS", 0)
    assert [peer.get(connections), peer.get(connections)] == [200, 200]
    assert peer.requests == [["GET"], ["GET"]]
    assert peer.open[0].wait(_WAIT)


def test_nothing_is_open_after_a_break(peer: _Peer) -> None:
    """Neither what rested nor what would come to rest."""
    connections = ConnectionPool()
    assert peer.get(connections) == 200
    connections.cancel()
    assert peer.open[0].wait(_WAIT)
    with pytest.raises(Cancelled):
        peer.get(connections)


def _ended(connections: ConnectionPool) -> None:
    """Wait until the peer's end of the connection at rest has come."""
    sock = connections._idle[0].connection.sock  # noqa: SLF001 - nobody else needs to know
    sock.settimeout(_WAIT)
    assert sock.recv(1, socket.MSG_PEEK) == b""
