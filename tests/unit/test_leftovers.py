"""The guards against what a test leaves behind, and the ports that tests draw."""

import socket
import subprocess
from pathlib import Path

import pytest

from tests.support import leftovers
from tests.support.leftovers import nothing_outlives
from tests.support.ports import free_port


def test_a_process_left_in_a_directory_of_the_test_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The assertion gives its id; once it has ended, the same block passes."""
    monkeypatch.setattr(leftovers, "_END_SECONDS", 0.3)
    started: list[subprocess.Popen[bytes]] = []

    def leave() -> None:
        with nothing_outlives([str(tmp_path)]):
            started.append(subprocess.Popen(["sleep", "300"], cwd=tmp_path))

    try:
        with pytest.raises(AssertionError, match="left running: process"):
            leave()
        with nothing_outlives([str(tmp_path)]):
            pass  # it was there before
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_listener_on_a_drawn_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever process holds it, as a database that outlives its supervisor."""
    monkeypatch.setattr(leftovers, "_END_SECONDS", 0.3)
    port = free_port()
    with socket.socket() as server:

        def leave() -> None:
            with nothing_outlives([]):
                server.bind(("127.0.0.1", port))
                server.listen()

        with pytest.raises(AssertionError, match=f"left running: port {port}"):
            leave()


def test_ports_are_drawn_once() -> None:
    """No port is given out twice, and a taken one is not given out."""
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass
