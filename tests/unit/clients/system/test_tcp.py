"""How a connection ends, in one word, on real sockets."""

import socket

import pytest

from clients.system.tcp import reach


def test_somebody_listens() -> None:
    """Whether or not it accepts at once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert reach("127.0.0.1", listening.getsockname()[1]) == "ok"


def test_nobody_listens() -> None:
    """The port was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert reach("127.0.0.1", port) == "refused"


def test_a_name_that_nobody_knows() -> None:
    """Reserved for this purpose."""
    assert reach("coordinator.invalid", 1) == "unknown-host"


@pytest.mark.parametrize(("error", "word"), [(TimeoutError(), "timeout"), (OSError(113, "No route"), "no-route")])
def test_silence_and_missing_routes(monkeypatch: pytest.MonkeyPatch, error: OSError, word: str) -> None:
    """As the kernel reports them."""

    def connect(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", connect)
    assert reach("10.255.255.1", 1) == word


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_what_listens_on_loopback_only_is_told_apart(family: socket.AddressFamily) -> None:
    """From the same host: another of its addresses refuses, one of the two loopback addresses does not."""
    with socket.create_server(("127.0.0.1" if family is socket.AF_INET else "::1", 0), family=family) as listening:
        port = listening.getsockname()[1]
        assert reach("127.0.0.2", port) == "loopback"
    assert reach("127.0.0.2", port) == "refused"
