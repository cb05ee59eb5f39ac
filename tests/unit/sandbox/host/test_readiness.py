"""Waiting: on a condition, with the last reason in the error."""

import socket
from pathlib import Path

import pytest

from sandbox.errors import WorldError
from sandbox.host.readiness import engine_answers, http_answers, socket_accepts, wait_until


def test_waits_until_the_probe_is_content() -> None:
    """Asks again until there is no reason left."""
    reasons = iter(["starting", "still starting", None])

    wait_until(lambda: next(reasons), seconds=5, what="etcd")

    assert next(reasons, "exhausted") == "exhausted"


def test_says_what_was_missing() -> None:
    """The error names the thing and the probe's last words."""
    with pytest.raises(WorldError, match=r"etcd: not there after 0 s, last answer: connection refused"):
        wait_until(lambda: "connection refused", seconds=0, what="etcd")


def test_probes_give_reasons_for_silence(tmp_path: Path) -> None:
    """Nobody listening is a reason, not an exception."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert f"127.0.0.1:{port}" in (http_answers(f"http://127.0.0.1:{port}/")() or "")
    assert "no.sock" in (socket_accepts(tmp_path / "no.sock")() or "")
    assert "no.sock" in (engine_answers(tmp_path / "no.sock")() or "")
